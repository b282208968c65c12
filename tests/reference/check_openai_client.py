#!/usr/bin/env python3
"""Lets OpenAI's own client send requests and read the replies of this program's API, without a model and a network.

    check_openai_client.py build/release/src/serve/api_tool

What the client would send is given to api_tool, which answers with what the request itself says. Checked are that every request
of the client is understood, that its types accept all replies without a field of another type, that its own way to join the
chunks of a stream gives the reply that comes as a whole, that calls of functions come back as they were, also when the client
sends them back, and that errors become the client's exceptions and are repeated or not. Needs: openai.
"""

import json
import subprocess
import sys

import openai
from openai.types import Completion, CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

try:
    import httpx2 as http  # what newer versions of the client use
except ImportError:
    import httpx as http

TOOLS = [{"type": "function", "function": {"name": name, "description": "d", "parameters": {"type": "object", "properties": {}}}}
         for name in ("search", "get_time")]
CALLS = ('Let me look: caf\u00e9 \u20ac \U0001f600\n<tool_call>\n{"name": "search", "arguments": {"q": "a } </tool_call> \u00e9"}}\n</tool_call>\n'
         '<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>')
CALL_ARGUMENTS = ['{"q": "a } </tool_call> \u00e9"}', "{}"]


class Server:
    """api_tool as a transport of the client."""

    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
        self.num_requests = 0

    def __call__(self, request):
        self.num_requests += 1
        line = json.dumps({"path": request.url.path, "body": request.read().decode()})
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        reply = json.loads(self.process.stdout.readline())
        return http.Response(reply["status"], headers={"content-type": reply["type"], **reply["headers"]},
                             content=reply["body"].encode())

    def client(self):
        transport = openai.DefaultHttpxClient(transport=http.MockTransport(self))
        return openai.OpenAI(api_key="none", base_url="http://server/v1", http_client=transport, max_retries=2)


def strict(kind, value):
    """Validates with the type's own rules, which the client itself does not enforce."""
    return kind.model_validate(json.loads(value.model_dump_json()), strict=False)


def said(text, **more):
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def check_chat(client):
    for text, more in [("Hello \u20ac", {}), ("", {}), ("Two", {"n": 2}), (CALLS, {"tools": TOOLS}),
                       ("Log", {"logprobs": True, "top_logprobs": 2}), ("caf\u00e9", {"logprobs": True, "n": 2})]:
        whole = client.chat.completions.create(**said(text, **more))
        strict(ChatCompletion, whole)
        chunks = list(client.chat.completions.create(**said(text, stream=True, stream_options={"include_usage": True}, **more)))
        for chunk in chunks:
            strict(ChatCompletionChunk, chunk)
        assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage, chunks[-1]
        assert whole.usage.prompt_tokens_details.cached_tokens == 4
        assert all(chunk.usage is None for chunk in chunks[:-1])
        with client.chat.completions.stream(**said(text, stream_options={"include_usage": True}, **more)) as stream:
            for _ in stream:
                pass
            joined = stream.get_final_completion()
        assert joined.usage == whole.usage and len(joined.choices) == len(whole.choices)
        for a, b in zip(joined.choices, whole.choices):
            assert (a.index, a.finish_reason, a.message.role) == (b.index, b.finish_reason, "assistant"), (a, b)
            assert (a.message.content or "") == (b.message.content or ""), (a, b)
            assert [(c.type, c.function.name, c.function.arguments) for c in a.message.tool_calls or []] == \
                [(c.type, c.function.name, c.function.arguments) for c in b.message.tool_calls or []], (a, b)
            logprobs = [[(t.token, t.logprob, t.bytes) for t in c.logprobs.content] if c.logprobs else None for c in (a, b)]
            assert logprobs[0] == logprobs[1], logprobs
            if "logprobs" in more:
                assert bytes(byte for t in b.logprobs.content for byte in t.bytes).decode() == text
        print(f"chat {text[:12]!r} {sorted(more)}: {len(chunks)} chunks")


def check_calls(client):
    whole = client.chat.completions.create(**said(CALLS, tools=TOOLS, tool_choice="auto", parallel_tool_calls=True))
    message = whole.choices[0].message
    assert whole.choices[0].finish_reason == "tool_calls"
    assert message.content == "Let me look: caf\u00e9 \u20ac \U0001f600", message.content
    assert [call.function.arguments for call in message.tool_calls] == CALL_ARGUMENTS
    assert len({call.id for call in message.tool_calls}) == 2
    # Sent back in all forms that programs use, with the results in another order.
    results = [{"role": "tool", "tool_call_id": call.id, "content": call.function.name} for call in message.tool_calls]
    for sent in (message, message.model_dump(), message.model_dump(exclude_unset=True)):
        again = client.chat.completions.create(model="m", tools=TOOLS, messages=[{"role": "user", "content": "x"}, sent, *results[::-1]])
        assert again.choices[0].message.content == results[-1]["content"], again  # ordered as the calls were
    print("calls: sent back and understood")


def check_requests(client):
    """Everything that the client has a name for and this program takes."""
    client.chat.completions.create(**said(
        "x", temperature=0.5, top_p=0.9, max_completion_tokens=5, stop=["a"], seed=1, presence_penalty=0.5, frequency_penalty=0.5,
        logit_bias={"5": -100}, user="u", metadata={"a": "b"}, store=False, service_tier="auto", modalities=["text"],
        response_format={"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"type": "object"}}},
        tools=TOOLS, tool_choice={"type": "function", "function": {"name": "search"}},
        extra_body={"top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1, "memory": {"namespace": "a"}, "priority": 1}))
    client.chat.completions.create(model="m", messages=[
        {"role": "developer", "content": [{"type": "text", "text": "a"}]}, {"role": "user", "content": "b", "name": "Ann"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}])
    print("requests: understood")


def check_completions(client):
    for prompt in ("Once upon caf\u00e9", ["a", "b"], [65, 66], [[65], [66, 67]]):
        strict(Completion, client.completions.create(model="m", prompt=prompt, logprobs=1))
        # The client's types know neither the nulls of the first token of an echoed prompt nor the null reason of a chunk that is
        # not the last, which the API has always sent: these replies are read as it reads them.
        whole = client.completions.create(model="m", prompt=prompt, max_tokens=1, logprobs=1, echo=True, temperature=0, seed=1234)
        for choice in whole.choices:
            logprobs = choice.logprobs
            assert logprobs.token_logprobs[0] is None and logprobs.top_logprobs[0] is None
            assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.text_offset)
            for value, top in zip(logprobs.token_logprobs[1:], logprobs.top_logprobs[1:]):
                assert value == max(top.values()) and len(top) == 2, top
        chunks = list(client.completions.create(model="m", prompt=prompt, stream=True, stream_options={"include_usage": True}))
        texts = ["" for _ in whole.choices]
        for chunk in chunks:
            if not chunk.choices or chunk.choices[0].finish_reason:
                strict(Completion, chunk)
            for choice in chunk.choices:
                texts[choice.index] += choice.text
        assert texts == [choice.text for choice in whole.choices], texts
        assert chunks[-1].usage == whole.usage
    print("completions: whole and streamed")


def check_others(client):
    for more in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
        reply = client.embeddings.create(model="m", input=["a", "b"], **more)
        if more.get("encoding_format") != "base64":
            strict(CreateEmbeddingResponse, reply)
            assert [e.embedding for e in reply.data] == [[0.0, 0.5, -2.25], [1.0, 0.5, -2.25]], reply
    assert [strict(Model, model).id for model in client.models.list()] == ["m"]
    print("embeddings and models: understood")


def check_errors(client, server):
    def expect(kind, param, code, call):
        before = server.num_requests
        try:
            call()
        except kind as error:
            assert (error.param, error.code) == (param, code), (error.param, error.code)
            assert server.num_requests == before + 1, "the client repeated a request that cannot succeed"
        else:
            raise AssertionError(f"no {kind.__name__}")

    expect(openai.BadRequestError, "temperature", None, lambda: client.chat.completions.create(**said("x", temperature=3)))
    expect(openai.BadRequestError, "messages[0].content[0].type", None, lambda: client.chat.completions.create(
        **said([{"type": "image_url", "image_url": {"url": "data:"}}])))
    expect(openai.NotFoundError, "model", "model_not_found", lambda: client.completions.create(model="gpt", prompt="x"))
    print("errors: the client's own exceptions")


def main(program):
    server = Server(program)
    client = server.client()
    check_chat(client)
    check_calls(client)
    check_requests(client)
    check_completions(client)
    check_others(client)
    check_errors(client, server)
    server.process.stdin.close()
    assert server.process.wait() == 0
    print(f"openai {openai.__version__}: {server.num_requests} requests, all as expected")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
