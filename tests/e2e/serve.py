"""The server as its clients see it: serve.py PROGRAM MODEL WORK_FOLDER"""

import json
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from server_process import Server

PROGRAM, MODEL, WORK = sys.argv[1:4]
QUESTION = {"messages": [{"role": "user", "content": "Tell me something new."}], "max_tokens": 12, "temperature": 0}


def chat(server, **changes):
    return server.ask("/v1/chat/completions", {**QUESTION, **changes})


def check_answers(server):
    models = server.ask("/v1/models")
    assert [model["id"] for model in models["data"]] == ["model"], models
    assert server.ask("/v1/models/model")["max_model_len"] == 2048
    whole = chat(server)
    choice = whole["choices"][0]
    assert choice["finish_reason"] == "length" and whole["usage"]["completion_tokens"] == 12, whole
    assert whole["usage"]["prompt_tokens"] > 12 and whole["model"] == "model"

    # A stream says the same, its role once, and its usage if asked.
    chunks = server.events("/v1/chat/completions", {**QUESTION, "stream_options": {"include_usage": True}})
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert "".join(delta.get("content", "") for delta in deltas) == choice["message"]["content"]
    assert [delta["role"] for delta in deltas if "role" in delta] == ["assistant"]
    assert chunks[-1]["usage"]["completion_tokens"] == 12 and chunks[-1]["choices"] == []
    assert len({chunk["id"] for chunk in chunks}) == 1

    # Choices differ by their seeds, which repeat.
    drawn = chat(server, n=3, temperature=1.5, seed=7)
    texts = [choice["message"]["content"] for choice in drawn["choices"]]
    assert len(set(texts)) == 3 and [choice["index"] for choice in drawn["choices"]] == [0, 1, 2]
    again = chat(server, n=3, temperature=1.5, seed=7)
    assert texts == [choice["message"]["content"] for choice in again["choices"]]
    assert chat(server, temperature=1.5, seed=8)["choices"][0]["message"]["content"] == texts[1]

    # A stop text is not part of the answer; a biased token is all there is.
    full = choice["message"]["content"]
    stop = full[4:7]
    cut = chat(server, stop=stop)["choices"][0]
    assert cut["message"]["content"] == full[: full.index(stop)] and cut["finish_reason"] == "stop"
    token = server.ask("/tokenize", {"prompt": "a", "add_special_tokens": False})["tokens"][0]
    biased = chat(server, logit_bias={str(token): 100})["choices"][0]["message"]["content"]
    assert biased == "a" * 12, biased

    # An answer that was begun is continued.
    begun = [*QUESTION["messages"], {"role": "assistant", "content": "Well"}]
    continued = chat(server, messages=begun, continue_final_message=True, add_generation_prompt=False)
    template = server.ask("/apply-template", {"messages": begun, "continue_final_message": True,
                                              "add_generation_prompt": False})["prompt"]
    assert template.endswith("Well"), template
    assert continued["usage"]["prompt_tokens"] == len(server.ask("/tokenize", {"prompt": template})["tokens"])


def check_scores(server):
    """Tokens have the same scores, to the bit, when they are drawn and when they are read."""

    def tokens_of(text):
        return server.ask("/tokenize", {"prompt": text, "add_special_tokens": False})["tokens"]

    num_compared = 0
    for begin in ["int main", "return", "# ", "the", "for (", "const"]:
        prompt = tokens_of(begin)
        request = {"prompt": prompt, "max_tokens": 3, "temperature": 0, "logprobs": 1}
        drawn = server.ask("/v1/completions", request)["choices"][0]
        tokens = tokens_of(begin + drawn["text"])
        if len(tokens) != len(prompt) + 3 or tokens[: len(prompt)] != prompt:
            continue  # the text has other tokens than those that were drawn
        scored = server.ask("/v1/completions", {**request, "prompt": tokens, "max_tokens": 1, "echo": True})
        read = scored["choices"][0]["logprobs"]["token_logprobs"][len(prompt) : len(tokens)]
        assert read == drawn["logprobs"]["token_logprobs"], (begin, read, drawn)
        num_compared += 1
    assert num_compared > 0


def check_completions(server):
    request = {"prompt": "int main", "max_tokens": 6, "temperature": 0, "logprobs": 2}
    whole = server.ask("/v1/completions", request)["choices"][0]
    assert len(whole["logprobs"]["tokens"]) == 6 and "".join(whole["logprobs"]["tokens"]) == whole["text"]
    chunks = server.events("/v1/completions", request)
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole["text"]

    # As an evaluation harness scores: lists of ids, echoed, one token more, which is dropped.
    tokens = server.ask("/tokenize", {"prompt": "int main" + whole["text"], "add_special_tokens": False})["tokens"]
    scoring = {"prompt": [tokens, tokens[:3]], "max_tokens": 1, "logprobs": 1, "echo": True, "temperature": 0, "seed": 1234}
    scored = server.ask("/v1/completions", scoring)["choices"]
    for choice, length in zip(scored, [len(tokens), 3]):
        log = choice["logprobs"]
        assert len(log["tokens"]) == length + 1 and log["token_logprobs"][0] is None
        for value, top in zip(log["token_logprobs"][1:], log["top_logprobs"][1:]):
            assert value <= max(top.values()) and value in top.values(), (value, top)
    check_scores(server)
    assert server.ask("/detokenize", {"tokens": tokens})["prompt"] == "int main" + whole["text"]
    empty = server.ask("/v1/completions", {"prompt": "int main", "max_tokens": 0, "echo": True})
    assert empty["choices"][0]["text"] == "int main" and empty["usage"]["completion_tokens"] == 0, empty

    vectors = server.ask("/v1/embeddings", {"input": ["one text", "another"], "encoding_format": "float"})["data"]
    assert len(vectors) == 2 and abs(sum(x * x for x in vectors[0]["embedding"]) - 1) < 1e-4
    alone = server.ask("/v1/embeddings", {"input": "another"})["data"][0]["embedding"]
    assert alone == vectors[1]["embedding"]
    ranked = server.ask("/v1/rerank", {"query": "another", "documents": ["one text", {"text": "another"}, "third"],
                                       "top_n": 2, "return_documents": True})["results"]
    assert ranked[0]["index"] == 1 and abs(ranked[0]["relevance_score"] - 1) < 1e-5 and len(ranked) == 2, ranked
    assert ranked[0]["document"] == {"text": "another"} and ranked[1]["relevance_score"] <= ranked[0]["relevance_score"]
    info = server.ask("/tokenizer_info")
    assert info["eos_token"] and info["model_max_length"] == 2048, info


def check_load(server):
    """Answers under load are those alone."""
    draw = random.Random(3)
    words = ["const", "std::vector<int>", "return;", "{", "}", "# heading", "README", "Grüße", "🙂"]
    requests = []
    for number in range(200):
        text = " ".join(draw.choices(words, k=draw.randrange(1, 60)))
        prompt = ("the same beginning for many " * 8 if draw.random() < 0.5 else "") + text
        requests.append({"prompt": prompt, "max_tokens": draw.randrange(1, 24), "seed": number,
                         "temperature": draw.choice([0, 1]), "logprobs": 1, "priority": draw.randrange(-1, 2)})

    def answer(request):
        choice = server.ask("/v1/completions", request)["choices"][0]
        return choice["text"], choice["logprobs"]

    alone = [answer(request) for request in requests]
    with ThreadPoolExecutor(24) as clients:
        together = list(clients.map(answer, requests))
    assert alone == together
    assert server.metric("qwen25_prompt_tokens_known_total") > 0


def check_forms(server):
    """What the answer must be, it is, whatever the model would rather say."""
    schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 8},
              "size": {"type": "integer", "minimum": 1, "maximum": 9}}, "required": ["name", "size"],
              "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "thing", "schema": schema}}
    for seed in range(5):
        more = {"temperature": 1, "seed": seed, "max_tokens": 200}
        choice = chat(server, response_format=form, **more)["choices"][0]
        thing = json.loads(choice["message"]["content"])
        assert choice["finish_reason"] == "stop" and set(thing) == {"name", "size"} and 1 <= thing["size"] <= 9, thing
        text = server.ask("/v1/completions", {"prompt": "a", "guided_regex": "[a-c]{3}-\\d+x", **more})["choices"][0]["text"]
        assert re.fullmatch(r"[a-c]{3}-\d+x", text), text
        tools = [{"type": "function", "function": {"name": name, "parameters": schema}} for name in ("f", "g")]
        forced = chat(server, tools=tools, tool_choice="required", **more)["choices"][0]
        call = forced["message"]["tool_calls"][0]
        assert call["function"]["name"] in "fg" and set(json.loads(call["function"]["arguments"])) == {"name", "size"}
        assert forced["finish_reason"] == "tool_calls" and not forced["message"]["content"], forced
        named = {"type": "function", "function": {"name": "g"}}
        chunks = server.events("/v1/chat/completions", {**QUESTION, "tools": tools, "tool_choice": named, **more})
        calls = [call for chunk in chunks for call in chunk["choices"][0]["delta"].get("tool_calls", [])]
        assert [call["function"]["name"] for call in calls if "id" in call] == ["g"], calls
        json.loads("".join(call["function"].get("arguments", "") for call in calls))
    for body, param in [
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "not": {
            "required": ["a"]}, "unevaluatedProperties": False}}}}, "response_format"),
        ({"guided_regex": "(a"}, "guided_regex"),
        ({"guided_grammar": "root ::= other"}, "guided_grammar"),
    ]:
        status, error, _ = server.refused("/v1/chat/completions", {**QUESTION, **body})
        assert status == 400 and error["param"] == param, error


def check_messages(server):
    """Anthropic's API: the answers of chats in another shape."""
    request = {**QUESTION, "model": "model"}
    expected = chat(server)["choices"][0]["message"]["content"]
    whole = server.ask("/v1/messages", request)
    assert whole["content"] == [{"type": "text", "text": expected}] and whole["stop_reason"] == "max_tokens", whole
    tokens = server.ask("/v1/messages/count_tokens", {"messages": QUESTION["messages"]})["input_tokens"]
    usage = whole["usage"]
    assert usage["input_tokens"] + usage["cache_read_input_tokens"] == tokens and usage["output_tokens"] == 12, usage
    events = server.named_events("/v1/messages", request)
    types = [event["type"] for event in events]
    assert types[:3] == ["message_start", "ping", "content_block_start"], types
    assert types[-3:] == ["content_block_stop", "message_delta", "message_stop"], types
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert "".join(delta["text"] for delta in deltas) == expected
    assert events[0]["message"]["usage"]["input_tokens"] == tokens
    assert events[-2]["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None}, events[-2]

    stop = expected[4:7]
    cut = server.ask("/v1/messages", {**request, "stop_sequences": ["\0", stop]})
    assert (cut["stop_reason"], cut["stop_sequence"]) == ("stop_sequence", stop), cut
    begun = [*QUESTION["messages"], {"role": "assistant", "content": "Well"}]
    continued = server.ask("/v1/messages", {**request, "messages": begun})["content"][0]["text"]
    same = chat(server, messages=begun, continue_final_message=True, add_generation_prompt=False)
    assert continued == same["choices"][0]["message"]["content"]

    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}},
              "required": ["n"], "additionalProperties": False}
    tools = {"tools": [{"name": "f", "input_schema": schema}], "tool_choice": {"type": "any"}, "max_tokens": 200}
    called = server.ask("/v1/messages", {**request, **tools})
    block = called["content"][-1]
    assert called["stop_reason"] == "tool_use" and block["name"] == "f" and 1 <= block["input"]["n"] <= 9, called
    events = server.named_events("/v1/messages", {**request, **tools})
    partial = [event["delta"]["partial_json"] for event in events if event["type"] == "content_block_delta"]
    assert json.loads("".join(partial)) == block["input"]
    result = {"type": "tool_result", "tool_use_id": block["id"], "content": "done"}
    turns = [*QUESTION["messages"], {"role": "assistant", "content": called["content"]}, {"role": "user", "content": [result]}]
    server.ask("/v1/messages", {**request, "messages": turns, "tools": tools["tools"]})
    for body, status, kind, text in [
        ({**request, "max_tokens": None}, 400, "invalid_request_error", "max_tokens"),
        ({**request, "model": "other"}, 404, "not_found_error", "model"),
        ({**request, "messages": [{"role": "user", "content": [{"type": "image"}]}]}, 400, "invalid_request_error",
         "messages[0].content[0].type"),
    ]:
        found, error, headers = server.refused("/v1/messages", body)
        assert (found, error["type"]) == (status, kind) and error["message"].startswith(text), error
        assert headers["request-id"].startswith("req_"), headers
    assert server.refused("/v1/messages")[0] == 405


def check_responses(server):
    """OpenAI's newer API: the same answers once more."""
    expected = chat(server)["choices"][0]["message"]["content"]
    request = {"input": QUESTION["messages"][0]["content"], "max_output_tokens": 12, "temperature": 0}
    whole = server.ask("/v1/responses", request)
    assert whole["output"][0]["content"][0]["text"] == expected and whole["status"] == "incomplete", whole
    assert whole["incomplete_details"] == {"reason": "max_output_tokens"} and whole["usage"]["output_tokens"] == 12
    events = server.named_events("/v1/responses", request)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[0]["type"] == "response.created" and events[-1]["type"] == "response.incomplete"
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert "".join(deltas) == expected == events[-1]["response"]["output"][0]["content"][0]["text"]
    log = server.ask("/v1/responses", {**request, "include": ["message.output_text.logprobs"], "top_logprobs": 1})
    assert len(log["output"][0]["content"][0]["logprobs"]) == 12

    tools = [{"type": "function", "name": name, "parameters": {"type": "object", "additionalProperties": False}}
             for name in ("f", "g")]
    forced = {**request, "tools": tools, "tool_choice": {"type": "function", "name": "g"}, "max_output_tokens": 100}
    called = server.ask("/v1/responses", forced)
    item = called["output"][-1]
    assert (item["type"], item["name"], json.loads(item["arguments"])) == ("function_call", "g", {}), called
    events = server.named_events("/v1/responses", forced)
    assert events[-1]["type"] == "response.completed" and events[-1]["response"]["output"][-1]["name"] == "g"
    items = [*QUESTION["messages"], *called["output"],
             {"type": "function_call_output", "call_id": item["call_id"], "output": "done"}]
    server.ask("/v1/responses", {**request, "input": items, "tools": tools})
    for body, param in [({**request, "previous_response_id": "resp_1"}, "previous_response_id"),
                        ({**request, "input": "x " * 5000}, "input"),
                        ({**forced, "tools": [{**tools[1], "parameters": {"$ref": "http://other"}}]}, "tools[0].parameters"),
                        ({**request, "input": [{"type": "function_call_output", "call_id": "a", "output": ""}]},
                         "input[0].call_id")]:
        status, error, _ = server.refused("/v1/responses", body)
        assert status == 400 and error["param"] == param, error
    infill = {"input_prefix": "int f(", "input_suffix": ") {}"}
    assert server.refused("/infill", infill)[1]["param"] == "model"  # it has no tokens for that


def check_errors(server):
    for path, body, status, param in [
        ("/v1/chat/completions", "{", 400, None),
        ("/v1/chat/completions", {**QUESTION, "temperature": 3}, 400, "temperature"),
        ("/v1/chat/completions", {**QUESTION, "model": "other"}, 404, "model"),
        ("/v1/chat/completions", {**QUESTION, "routing": "top_k:3"}, 400, "routing"),
        ("/v1/chat/completions", {**QUESTION, "logit_bias": {"100000": 1}}, 400, "logit_bias.100000"),
        ("/v1/completions", {"prompt": [1, 2, 100000]}, 400, "prompt"),
        ("/v1/completions", {"prompt": "x " * 5000}, 400, "prompt"),
        ("/v1/completions", {"prompt": "a", "suffix": "b"}, 400, "suffix"),
        ("/v1/embeddings", {"input": "a", "dimensions": 1000}, 400, "dimensions"),
        ("/v1/models/other", None, 404, "model"),
        ("/v1/nothing", None, 404, None),
    ]:
        found, error, headers = server.refused(path, body)
        assert found == status and error["param"] == param, (path, body, found, error)
        assert headers.get("x-request-id"), headers
        assert WORK not in error["message"], error
    assert server.refused("/v1/models", {"a": 1})[0] == 405
    chat(server)  # it still serves


def check_clients_that_leave(server):
    before = server.metric("qwen25_requests_total")
    for _ in range(5):
        connection = server.connect()
        body = {**QUESTION, "max_tokens": 1500, "stream": True, "ignore_eos": True}
        connection.request("POST", "/v1/chat/completions", json.dumps(body))
        connection.getresponse().read(10)
        connection.sock.close()
        connection.close()
    server.wait_for(lambda: server.metric("qwen25_requests_total") >= before + 5, "all have ended")
    for name in ("qwen25_requests_running", "qwen25_kv_blocks_used"):
        server.wait_for(lambda: server.metric(name) == 0, f"{name} is 0")
    chat(server)


def check_full_queue():
    server = Server(PROGRAM, ["-m", MODEL, "--no-memory", "--streams", 1, "--max-waiting", 1], WORK)
    long_one = {**QUESTION, "max_tokens": 1900, "ignore_eos": True}
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: server.send("/v1/chat/completions", long_one), range(8)))
    statuses = [status for status, _, _ in answers]
    assert set(statuses) == {200, 429} and statuses.count(200) >= 2, statuses
    for status, headers, text in answers:
        if status == 429:
            assert int(headers["retry-after"]) >= 1 and json.loads(text)["error"]["type"] == "rate_limit_error"
    assert server.refused("/v1/chat/completions", {**QUESTION, "n": 5})[0] == 400
    assert server.end() == 0


def check_keys():
    keys = pathlib.Path(WORK) / "keys.json"

    def add(name, *flags):
        command = [PROGRAM, "keys", "add", name, "--file", keys, *flags]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    alice, operator = add("alice", "--requests-per-minute", "3"), add("operator", "--scope", "admin")
    log = pathlib.Path(WORK) / "audit.log"
    server = Server(PROGRAM, ["-m", MODEL, "--no-memory", "--keys", keys, "--audit-log", log], WORK)
    assert server.ask("/health") and server.ask("/ready")
    assert server.refused("/v1/models")[0] == 401
    assert server.refused("/v1/models", key=alice[:-1])[1]["code"] == "invalid_api_key"
    wrong = {"x-api-key": "wrong", "anthropic-version": "2023-06-01"}
    assert server.refused("/v1/messages", {}, headers=wrong)[1]["type"] == "authentication_error"
    assert server.refused("/metrics", key=alice)[0] == 403
    assert server.refused("/v1/models", key=operator)[0] == 403
    ask = lambda **changes: {**QUESTION, **changes}
    server.ask("/v1/chat/completions", ask(), key=alice)
    server.ask("/v1/chat/completions", ask(memory={"namespace": "alice", "recall": False}), key=alice)
    status, error, _ = server.refused("/v1/chat/completions", ask(memory={"namespace": "bob", "recall": False}), key=alice)
    assert status == 403 and error["param"] == "memory.namespace", error
    status, error, headers = server.refused("/v1/chat/completions", ask(), key=alice)
    assert status == 429 and 1 <= int(headers["retry-after"]) <= 20, headers
    bob, late = add("bob"), add("late", "--priority", "3")
    assert server.refused("/v1/models", key=bob)[0] == 401
    server.process.send_signal(signal.SIGHUP)
    server.wait_for(lambda: "reloaded" in server.output(), "keys are read again")
    server.ask("/v1/models", key=bob)
    assert server.refused("/v1/chat/completions", ask(priority=-5), key=bob)[1]["param"] == "priority"
    # Who may only come late does so without asking for it.
    server.ask("/v1/chat/completions", ask(), key=late)
    server.ask("/v1/chat/completions", ask(priority=3), key=late)
    assert server.refused("/v1/chat/completions", ask(priority=2), key=late)[0] == 403
    assert server.end() == 0
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert {entry["key"] for entry in entries} == {"", "alice", "operator", "bob", "late"}, entries
    assert sum(entry.get("answer_tokens", 0) for entry in entries) == 48
    assert "something new" not in log.read_text() and alice not in log.read_text()
    refused = subprocess.run([PROGRAM, "serve", "-m", MODEL, "--host", "0.0.0.0"], capture_output=True, text=True)
    assert refused.returncode != 0 and "--keys" in refused.stderr, refused


def check_memory():
    """Notes are told, found and forgotten by namespace, and are there after the server was killed."""
    keys, folder = pathlib.Path(WORK) / "memory_keys.json", pathlib.Path(WORK) / "server_memory"

    def add(name, *flags):
        command = [PROGRAM, "keys", "add", name, "--file", keys, "--scope", "chat,memory", *flags]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    alice, bob = add("alice", "--namespace", "alice", "--namespace", "shared"), add("bob")
    flags = ["-m", f"one={MODEL}", "-m", f"two={MODEL}", "--max-loaded", 2, "--memory", folder, "--keys", keys]
    server = Server(PROGRAM, flags, WORK)
    note = server.ask("/v1/memory/notes", {"text": "The garage code of the old house is 4711."}, key=alice)
    assert note["namespace"] == "alice", note
    question = [{"role": "user", "content": "What is the garage code of the old house?"}]

    def chat_of(key, messages=question, **memory):
        return server.ask("/v1/chat/completions", {**QUESTION, "messages": messages, "memory": memory}, key=key)

    with_note = chat_of(alice)
    assert [found["note"] for found in with_note["memory"]["recalled"]] == [note["id"]], with_note
    without = server.ask("/v1/chat/completions", {**QUESTION, "messages": question}, key=alice)
    assert without["usage"]["prompt_tokens"] < with_note["usage"]["prompt_tokens"] and "memory" not in without
    assert "memory" not in chat_of(bob) and "memory" not in chat_of(alice, recall=False)
    assert "memory" not in chat_of(alice, namespace="shared")
    told = chat_of(bob, [{"role": "user", "content": "Remember that my sister lives in Ystad."}])
    sister = told["memory"]["remembered"][0]
    body = {**QUESTION, "model": "two", "stream": True, "memory": {},
            "messages": [{"role": "user", "content": "Where does my sister live?"}]}
    chunks = server.send("/v1/chat/completions", body, key=bob)[2]
    first = json.loads(chunks.decode().split("\n\n")[0].removeprefix("data: "))
    assert [found["note"] for found in first["memory"]["recalled"]] == [sister], first
    for path, body in [("/v1/messages", {**QUESTION, "messages": question}),
                       ("/v1/responses", {"input": question, "max_output_tokens": 5})]:
        answer = server.ask(path, {**body, "memory": {}}, key=alice)
        assert [found["note"] for found in answer["memory"]["recalled"]] == [note["id"]], answer
    # Another key's namespace is closed in every way.
    for path, body, method in [
        ("/v1/memory/notes?namespace=alice", None, None),
        ("/v1/memory/export?namespace=alice", None, None),
        (f"/v1/memory/notes/{note['id']}?namespace=alice", None, "DELETE"),
        ("/v1/memory/notes", {"text": "x", "namespace": "alice"}, None),
        ("/v1/memory/search", {"query": "garage", "namespace": "alice"}, None),
        ("/v1/chat/completions", {**QUESTION, "memory": {"namespace": "alice"}}, None),
        ("/v1/messages", {**QUESTION, "memory": {"namespace": "alice"}}, None),
    ]:
        assert server.refused(path, body, key=bob, method=method)[0] == 403, path
    assert server.refused(f"/v1/memory/notes/{note['id']}", key=bob)[0] == 404
    hits = server.ask("/v1/memory/search", {"query": "garage code"}, key=bob)["data"]
    assert {hit["note"] for hit in hits} <= {sister}, hits
    server.process.kill()
    server.process.wait()
    server = Server(PROGRAM, flags, WORK)
    assert [found["id"] for found in server.ask("/v1/memory/notes", key=alice)["data"]] == [note["id"]]
    found = server.ask("/v1/memory/search", {"query": "sister Ystad"}, key=bob)["data"]
    assert found[0]["note"] == sister and "Ystad" in found[0]["text"], found
    line = server.send("/v1/memory/export", key=alice)[2].decode()
    assert json.loads(line)["text"] == note["text"]
    assert server.ask(f"/v1/memory/notes/{note['id']}?erase=1", key=alice, method="DELETE")["deleted"]
    assert "memory" not in chat_of(alice) and server.ask("/v1/memory/notes", key=alice)["data"] == []
    assert server.refused(f"/v1/memory/notes/{note['id']}", key=alice)[0] == 404
    for path, body, param in [
        ("/v1/memory/notes", {"text": ""}, "text"),
        ("/v1/memory/notes", {"text": "a", "tag": "b"}, "tag"),
        ("/v1/memory/search", {"query": "a", "limit": 0}, "limit"),
        ("/v1/memory/notes?name=a", None, "name"),
        ("/v1/chat/completions", {**QUESTION, "memory": {"notes_as": "blocks"}}, "memory.notes_as"),
    ]:
        status, error, _ = server.refused(path, body, key=bob)
        assert status == 400 and error["param"] == param, (path, error)
    assert server.end() == 0


def check_draining(server):
    """SIGTERM lets answers end."""
    connection = server.connect()
    body = {**QUESTION, "max_tokens": 1500, "stream": True, "ignore_eos": True, "temperature": 1}
    connection.request("POST", "/v1/chat/completions", json.dumps(body))
    answer = connection.getresponse()
    begin = answer.read(100)
    server.process.send_signal(signal.SIGTERM)
    text = (begin + answer.read()).decode()
    assert text.endswith("data: [DONE]\n\n"), text[-200:]
    assert server.process.wait(60) == 0, server.output()
    assert "cut" not in server.output(), server.output()
    try:
        socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
        raise AssertionError("it still listens")
    except OSError:
        pass


def check_infill():
    """Filling in, with a model whose control tokens are called as those of models that were made for it."""
    folder = pathlib.Path(WORK) / "infill_model"
    shutil.copytree(MODEL, folder)
    names = {"<|im_start|>": "<|fim_prefix|>", "<|im_end|>": "<|fim_suffix|>", "<|endoftext|>": "<|fim_middle|>"}
    for path in folder.glob("*.json"):
        text = path.read_text()
        for old, new in names.items():
            text = text.replace(old, new)
        path.write_text(text)
    server = Server(PROGRAM, ["-m", folder, "--no-memory"], WORK)
    more = {"temperature": 1, "seed": 5, "ignore_eos": True}
    request = {"input_prefix": "int f(", "input_suffix": ") {}", "n_predict": 12, **more}
    whole = server.ask("/infill", request)
    same = server.ask("/v1/completions", {"prompt": "int f(", "suffix": ") {}", "max_tokens": 12, **more})
    assert whole["content"] == same["choices"][0]["text"] and whole["content"], (whole, same)
    assert (whole["tokens_predicted"], whole["stop_type"]) == (12, "limit"), whole
    assert whole["tokens_evaluated"] == same["usage"]["prompt_tokens"]
    events = [json.loads(event.removeprefix("data: ")) for event in server.stream("/infill", request)]
    assert "".join(event["content"] for event in events) == whole["content"]
    assert [event["stop"] for event in events] == [False] * (len(events) - 1) + [True]
    cut = server.ask("/infill", {**request, "stop": [whole["content"][1:3]]})
    assert cut["stop_type"] == "word" and whole["content"].startswith(cut["content"] + cut["stopping_word"]), cut
    split = server.ask("/infill", {**request, "input_prefix": "int ", "prompt": "f("})
    assert split["content"] == whole["content"]
    assert server.ask("/infill", {**request, "input_extra": [{"filename": "a.h", "text": "int a;"}]})["content"]
    assert server.end() == 0


def check_models_on_demand():
    """Two models of which one is loaded at a time."""
    server = Server(PROGRAM, ["-m", f"one={MODEL}", "-m", f"two={MODEL}", "--no-memory"], WORK)
    assert [model["id"] for model in server.ask("/v1/models")["data"]] == ["one", "two"]
    expected = chat(server, model="one")["choices"]
    with ThreadPoolExecutor(8) as clients:
        names = ["one", "two"] * 8
        answers = list(clients.map(lambda name: chat(server, model=name), names))
    for name, answer in zip(names, answers):
        assert answer["model"] == name and answer["choices"] == expected
    assert "unloading one" in server.output() and "loaded two" in server.output(), server.output()
    assert server.end() == 0


def main():
    server = Server(PROGRAM, ["-m", f"model={MODEL}", "--no-memory", "--threads", 2], WORK)
    try:
        check_answers(server)
        check_completions(server)
        check_forms(server)
        check_messages(server)
        check_responses(server)
        check_errors(server)
        check_load(server)
        check_clients_that_leave(server)
        check_draining(server)
    finally:
        server.kill()
    check_full_queue()
    check_keys()
    check_infill()
    check_models_on_demand()
    check_memory()


main()
