#!/usr/bin/env python3
"""Lets the official clients of OpenAI and Anthropic use a server of this program.

    check_server.py build/release/src/cli/qwen25 MODEL

MODEL is a folder or a GGUF file of a chat model. The server is started here, without a network. Each check prints a line;
the exit status is 1 if one failed. What the model says does not matter: checked are shapes, counts, that streams say what
whole replies say, that seeds repeat, that forms of answers are kept, and that errors become the clients' exceptions.
Needs: openai, anthropic.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import traceback
from concurrent.futures import ThreadPoolExecutor

import anthropic
import openai

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from server_process import Server  # noqa: E402

ASK = [{"role": "user", "content": "Name three colors."}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}, "required": ["city"],
              "additionalProperties": False}
TOOLS = [{"type": "function", "function": {"name": name, "description": "Weather of a city.", "parameters": PARAMETERS}}
         for name in ("weather", "forecast")]
SCHEMA = {"type": "object", "properties": {"size": {"type": "integer", "minimum": 1, "maximum": 9}}, "required": ["size"],
          "additionalProperties": False}
CHECKS = []


class LeftOut(Exception):
    """What the model is not made for."""


def check(function):
    CHECKS.append(function)
    return function


def needs_tools(clients):
    try:
        chat(clients, tools=TOOLS, max_tokens=1)
    except openai.BadRequestError as error:
        if error.param == "tools":
            raise LeftOut(error.body["message"]) from None
        raise


def strict(value):
    """Validates a reply with all rules of its type, which the clients themselves do not enforce."""
    kind = type(value)
    kind.model_validate(json.loads(value.model_dump_json()), strict=False)
    return value


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def is_weather(name, arguments):
    assert name in ("weather", "forecast"), name
    assert set(arguments) == {"city"} and isinstance(arguments["city"], str), arguments


# OpenAI's client: chats, completions, embeddings.


def chat(clients, **more):
    request = {"model": "model", "messages": ASK, "max_tokens": 12, "temperature": 0, **more}
    return clients.openai.chat.completions.create(**request)


@check
def models(clients):
    assert [model.id for model in clients.openai.models.list()] == ["model"]
    assert strict(clients.openai.models.retrieve("model")).object == "model"


@check
def chat_whole_and_streamed(clients):
    whole = strict(chat(clients))
    chunks = list(chat(clients, stream=True, stream_options={"include_usage": True}))
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    with clients.openai.chat.completions.stream(model="model", messages=ASK, max_tokens=12, temperature=0) as stream:
        for _ in stream:
            pass
        joined = stream.current_completion_snapshot  # the final one must not be cut by a limit
    assert joined.choices[0].message.content == text
    assert joined.choices[0].finish_reason == whole.choices[0].finish_reason


@check
def chat_logprobs(clients):
    choice = strict(chat(clients, logprobs=True, top_logprobs=3)).choices[0]
    tokens = choice.logprobs.content
    assert b"".join(bytes(token.bytes) for token in tokens).decode().startswith(choice.message.content)
    for token in tokens:  # greedy: the token is the most likely one
        assert len(token.top_logprobs) == 3 and token.logprob == token.top_logprobs[0].logprob <= 0, token


@check
def chat_choices_and_seeds(clients):
    drawn = strict(chat(clients, n=3, seed=5, temperature=1.5))
    texts = [choice.message.content for choice in drawn.choices]
    assert [choice.index for choice in drawn.choices] == [0, 1, 2] and len(set(texts)) == 3, texts
    assert texts == [choice.message.content for choice in chat(clients, n=3, seed=5, temperature=1.5).choices]


@check
def chat_stop_and_bias(clients):
    text = chat(clients).choices[0].message.content
    stop = text[3:6]
    cut = chat(clients, stop=[stop]).choices[0]
    assert cut.message.content == text[: text.index(stop)] and cut.finish_reason == "stop"
    token = clients.server.ask("/tokenize", {"prompt": " a", "add_special_tokens": False})["tokens"][-1]
    biased = chat(clients, logit_bias={str(token): 100}).choices[0].message.content
    assert len(set(biased.replace(" ", ""))) == 1, biased


@check
def chat_forms(clients):
    form = {"type": "json_schema", "json_schema": {"name": "size", "strict": True, "schema": SCHEMA}}
    for seed in range(3):
        reply = chat(clients, response_format=form, temperature=1, seed=seed, max_tokens=60)
        assert 1 <= json.loads(reply.choices[0].message.content)["size"] <= 9


@check
def chat_tools(clients):
    needs_tools(clients)
    forced = strict(chat(clients, tools=TOOLS, tool_choice="required", max_tokens=300)).choices[0]
    assert forced.finish_reason == "tool_calls"
    call = forced.message.tool_calls[0]
    is_weather(call.function.name, json.loads(call.function.arguments))
    with clients.openai.chat.completions.stream(model="model", messages=ASK, tools=TOOLS, max_tokens=300, temperature=0,
                                                tool_choice={"type": "function", "function": {"name": "forecast"}}) as stream:
        for _ in stream:
            pass
        streamed = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert streamed.function.name == "forecast"
    is_weather(streamed.function.name, json.loads(streamed.function.arguments))
    # The result goes back with the call.
    result = {"role": "tool", "tool_call_id": call.id, "content": "Rain."}
    again = chat(clients, messages=[*ASK, forced.message, result], tools=TOOLS, tool_choice="none")
    assert again.choices[0].message.tool_calls is None
    strict(chat(clients, tools=TOOLS))  # whatever it says


@check
def completions(clients):
    request = {"model": "model", "prompt": "Once upon a time", "max_tokens": 6, "temperature": 0, "logprobs": 2}
    whole = clients.openai.completions.create(**request).choices[0]
    assert "".join(whole.logprobs.tokens) == whole.text
    chunks = clients.openai.completions.create(**request, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == whole.text
    echoed = clients.openai.completions.create(**request, echo=True).choices[0]
    assert echoed.text == request["prompt"] + whole.text and echoed.logprobs.token_logprobs[0] is None
    assert echoed.logprobs.token_logprobs[-len(whole.logprobs.tokens):] == whole.logprobs.token_logprobs


@check
def embeddings(clients):
    vectors = clients.openai.embeddings.create(model="model", input=["one", "two"])
    plain = clients.openai.embeddings.create(model="model", input=["one", "two"], encoding_format="float")
    for a, b in zip(vectors.data, strict(plain).data):
        assert abs(sum(x * x for x in a.embedding) - 1) < 1e-4
        assert max(abs(x - y) for x, y in zip(a.embedding, b.embedding)) < 1e-6


# OpenAI's client: responses.


def respond(clients, **more):
    return clients.openai.responses.create(**{"model": "model", "input": "Name three colors.", "temperature": 0, **more})


def streamed_response(clients, **more):
    """The events' types and the last event's response."""
    events = list(respond(clients, stream=True, **more))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    for event in events:
        strict(event)
    return [event.type for event in events], events[-1].response


@check
def responses(clients):
    whole = strict(respond(clients, instructions="Be brief.", max_output_tokens=400, metadata={"a": "b"}))
    types, last = streamed_response(clients, instructions="Be brief.", max_output_tokens=400, metadata={"a": "b"})
    assert types[:2] == ["response.created", "response.in_progress"] and types[-1] == "response." + whole.status
    assert last.output_text == whole.output_text and last.usage.output_tokens == whole.usage.output_tokens
    assert whole.metadata == {"a": "b"} and whole.instructions == "Be brief."
    if whole.status == "completed":
        with clients.openai.responses.stream(model="model", input="Name three colors.", instructions="Be brief.",
                                             temperature=0, max_output_tokens=400) as stream:
            text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
            assert text == stream.get_final_response().output_text == whole.output_text


@check
def responses_cut_by_a_limit(clients):
    whole = strict(respond(clients, max_output_tokens=3))
    assert whole.status == "incomplete" and whole.incomplete_details.reason == "max_output_tokens"
    types, last = streamed_response(clients, max_output_tokens=3)
    assert types[-1] == "response.incomplete" and last.output_text == whole.output_text


@check
def responses_logprobs(clients):
    whole = strict(respond(clients, max_output_tokens=4, include=["message.output_text.logprobs"], top_logprobs=2))
    part = whole.output[0].content[0]
    assert "".join(entry.token for entry in part.logprobs) == part.text
    assert all(len(entry.top_logprobs) == 2 for entry in part.logprobs)


@check
def responses_forms(clients):
    form = {"format": {"type": "json_schema", "name": "size", "schema": SCHEMA, "strict": True}}
    assert 1 <= json.loads(respond(clients, text=form, max_output_tokens=60).output_text)["size"] <= 9


@check
def responses_tools(clients):
    needs_tools(clients)
    tools = [{"type": "function", "name": tool["function"]["name"], "parameters": PARAMETERS, "strict": True} for tool in TOOLS]
    whole = strict(respond(clients, tools=tools, tool_choice="required", max_output_tokens=300))
    call = whole.output[-1]
    assert call.type == "function_call" and whole.status == "completed"
    is_weather(call.name, json.loads(call.arguments))
    named = {"type": "function", "name": "forecast"}
    types, last = streamed_response(clients, tools=tools, tool_choice=named, max_output_tokens=300)
    assert "response.function_call_arguments.done" in types and last.output[-1].name == "forecast", types
    is_weather("forecast", json.loads(last.output[-1].arguments))
    # All items go back, with the result.
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "Rain."}
    items = [*ASK, *[item.model_dump(exclude_unset=True) for item in whole.output], result]
    strict(respond(clients, input=items, tools=tools, tool_choice="none", max_output_tokens=8))


# Anthropic's client.


def message(clients, **more):
    request = {"model": "model", "max_tokens": 12, "messages": ASK, "extra_body": {"temperature": 0}, **more}
    return clients.anthropic.messages.create(**request)


def streamed_message(clients, **more):
    request = {"model": "model", "max_tokens": 12, "messages": ASK, "extra_body": {"temperature": 0}, **more}
    with clients.anthropic.messages.stream(**request) as stream:
        for _ in stream:
            pass
        return stream.get_final_message()


@check
def messages_whole_and_streamed(clients):
    for more in ({}, {"system": "Be brief."}, {"system": [{"type": "text", "text": "Be brief."}]}, {"max_tokens": 3}):
        whole, joined = strict(message(clients, **more)), streamed_message(clients, **more)
        assert joined.content[0].text == whole.content[0].text
        assert (joined.stop_reason, joined.role, joined.type) == (whole.stop_reason, "assistant", "message")
        assert joined.usage.output_tokens == whole.usage.output_tokens
        total = [use.input_tokens + use.cache_read_input_tokens for use in (whole.usage, joined.usage)]
        counted = clients.anthropic.messages.count_tokens(
            model="model", messages=ASK, **{key: more[key] for key in more if key == "system"})
        assert total == [counted.input_tokens] * 2, (total, counted)
    assert whole.stop_reason == "max_tokens" and whole.usage.output_tokens == 3
    events = [event.type for event in message(clients, stream=True)]
    assert events[0] == "message_start" and events[-2:] == ["message_delta", "message_stop"], events


@check
def messages_stop_sequences(clients):
    text = message(clients).content[0].text
    stop = text[3:6]
    for reply in (strict(message(clients, stop_sequences=[stop])), streamed_message(clients, stop_sequences=[stop])):
        assert "".join(block.text for block in reply.content) == text[: text.index(stop)]
        assert (reply.stop_reason, reply.stop_sequence) == ("stop_sequence", stop)


@check
def messages_prefill(clients):
    begun = [*ASK, {"role": "assistant", "content": "Of course. The"}]
    same = chat(clients, messages=begun, extra_body={"continue_final_message": True})
    assert message(clients, messages=begun).content[0].text == same.choices[0].message.content


@check
def messages_tools(clients):
    needs_tools(clients)
    tools = [{"name": tool["function"]["name"], "description": "Weather.", "input_schema": PARAMETERS,
              "cache_control": {"type": "ephemeral"}} for tool in TOOLS]
    more = {"tools": tools, "tool_choice": {"type": "any"}, "max_tokens": 300}
    whole, joined = strict(message(clients, **more)), streamed_message(clients, **more)
    for reply in (whole, joined):
        assert reply.stop_reason == "tool_use" and reply.content[-1].type == "tool_use", reply
        is_weather(reply.content[-1].name, reply.content[-1].input)
    assert whole.content[-1].input == joined.content[-1].input
    named = streamed_message(clients, **{**more, "tool_choice": {"type": "tool", "name": "forecast"}})
    assert named.content[-1].name == "forecast"
    result = {"type": "tool_result", "tool_use_id": whole.content[-1].id, "content": "Rain."}
    turns = [*ASK, {"role": "assistant", "content": whole.content}, {"role": "user", "content": [result]}]
    strict(message(clients, messages=turns, tools=tools, tool_choice={"type": "none"}))


@check
def messages_forms(clients):
    form = {"format": {"type": "json_schema", "schema": SCHEMA}}
    assert 1 <= json.loads(message(clients, output_config=form, max_tokens=60).content[0].text)["size"] <= 9


# Errors.


@check
def errors_of_openai(clients):
    assert raises(openai.NotFoundError, lambda: chat(clients, model="gpt")).code == "model_not_found"
    assert raises(openai.BadRequestError, lambda: chat(clients, temperature=3)).param == "temperature"
    assert raises(openai.BadRequestError, lambda: respond(clients, previous_response_id="r")).param == "previous_response_id"
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]
    assert raises(openai.BadRequestError, lambda: chat(clients, messages=image)).param == "messages[0].content[0].type"


@check
def errors_of_anthropic(clients):
    error = raises(anthropic.NotFoundError, lambda: message(clients, model="claude"))
    assert error.body["error"]["type"] == "not_found_error" and error.request_id.startswith("req_"), error.body
    error = raises(anthropic.BadRequestError, lambda: message(clients, extra_body={"temperature": 1.5}))
    assert error.body["error"]["message"].startswith("temperature"), error.body
    raises(anthropic.BadRequestError, lambda: message(clients, thinking={"type": "enabled", "budget_tokens": 1024}))


@check
def keys_and_retries(clients):
    """With a file of keys: 401 and 403, and a client that waits and tries again when it is told to."""
    keys = pathlib.Path(clients.work) / "keys.json"
    add = [clients.program, "keys", "add", "alice", "--file", str(keys), "--requests-per-minute", "60"]
    key = subprocess.run(add, check=True, capture_output=True, text=True).stdout.strip()
    server = Server(clients.program, ["-m", f"model={clients.model}", "--no-memory", "--keys", keys, "--streams", 1,
                                      "--max-waiting", 0], clients.work)
    try:
        wrong = Clients(clients.program, clients.model, clients.work, server, "wrong")
        assert raises(openai.AuthenticationError, lambda: chat(wrong)).code == "invalid_api_key"
        error = raises(anthropic.AuthenticationError, lambda: message(wrong))
        assert error.body["error"]["type"] == "authentication_error", error.body
        right = Clients(clients.program, clients.model, clients.work, server, key)
        chat(right)
        message(right)
        of_bob = {"memory": {"namespace": "bob", "recall": False}}
        raises(anthropic.PermissionDeniedError, lambda: message(right, extra_body=of_bob))
        raises(openai.PermissionDeniedError, lambda: chat(right, extra_body=of_bob))
        # The only stream is taken until its client goes away, so that there is no place for another one.
        with right.openai.chat.completions.create(model="model", messages=ASK, max_tokens=100000, stream=True,
                                                  extra_body={"ignore_eos": True}) as busy, ThreadPoolExecutor(1) as other:
            next(iter(busy))
            patient, hasty = (right.openai.with_options(max_retries=count) for count in (20, 0))
            raises(openai.RateLimitError, lambda: chat_of(hasty))
            raises(anthropic.RateLimitError,
                   lambda: right.anthropic.with_options(max_retries=0).messages.create(model="model", max_tokens=1, messages=ASK))
            answer = other.submit(chat_of, patient)
            busy.close()
            answer.result()
    finally:
        assert server.end() == 0


def chat_of(client):
    return client.chat.completions.create(model="model", messages=ASK, max_tokens=1)


class Clients:
    def __init__(self, program, model, work, server, key="none"):
        self.program, self.model, self.work, self.server = program, model, work, server
        base = f"http://127.0.0.1:{server.port}"
        self.openai = openai.OpenAI(base_url=base + "/v1", api_key=key)
        self.anthropic = anthropic.Anthropic(base_url=base, api_key=key)


def main(program, model):
    failed = left_out = 0
    with tempfile.TemporaryDirectory() as work:
        server = Server(program, ["-m", f"model={model}", "--no-memory"], work)
        try:
            clients = Clients(program, model, work, server)
            for function in CHECKS:
                name = function.__name__.replace("_", " ")
                try:
                    function(clients)
                    print(f"passed  {name}", flush=True)
                except LeftOut as reason:
                    left_out += 1
                    print(f"LEFT OUT  {name}: {reason}", flush=True)
                except Exception:
                    failed += 1
                    print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
        finally:
            server.end()
    print(f"openai {openai.__version__}, anthropic {anthropic.__version__}: {len(CHECKS) - failed - left_out} passed, "
          f"{left_out} left out, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
