"""A server of the program as a test sees it: started, asked, ended."""

import http.client
import json
import pathlib
import re
import signal
import subprocess
import time


class Server:
    """`qwen25 serve` on a free port of this machine. What it prints is in `log`."""

    def __init__(self, program, flags, work, number=[0]):
        number[0] += 1
        self.log = pathlib.Path(work) / f"server{number[0]}.log"
        with open(self.log, "w") as log:
            command = [program, "serve", "--port", "0", *map(str, flags)]
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self.wait_for(lambda: "listening on" in self.output(), "it listens")
        self.port = int(re.search(r"listening on https?://[^:]*:(\d+)/", self.output())[1])

    def output(self):
        return self.log.read_text()

    def wait_for(self, condition, what, seconds=60):
        """Until `condition` holds; the test fails if that takes too long, or if the server has ended."""
        end = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}: {self.output()}")
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s: {what}: {self.output()}")
            time.sleep(0.01)

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def send(self, path, body=None, key=None, method=None, headers=()):
        """Status, headers and the whole body of an answer."""
        connection = self.connect()
        all_headers = dict(headers)
        if key:
            all_headers["Authorization"] = "Bearer " + key
        data = json.dumps(body) if isinstance(body, (dict, list)) else body
        connection.request(method or ("GET" if body is None else "POST"), path, data, all_headers)
        answer = connection.getresponse()
        result = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        connection.close()
        return result

    def ask(self, path, body=None, **more):
        """The JSON of an answer that must be one."""
        status, _, text = self.send(path, body, **more)
        assert status == 200, (path, body, status, text)
        return json.loads(text)

    def refused(self, path, body=None, **more):
        """(status, error, headers) of an answer that must be an error of the API's shape."""
        status, headers, text = self.send(path, body, **more)
        assert status >= 400, (path, body, status, text)
        reply = json.loads(text)
        error = reply["error"]
        is_anthropic = path.startswith("/v1/messages")
        assert set(error) == ({"message", "type"} if is_anthropic else {"message", "type", "param", "code"}), error
        assert reply.get("type") == ("error" if is_anthropic else None), reply
        return status, error, headers

    def stream(self, path, body):
        """The events of a streamed answer as texts."""
        status, headers, text = self.send(path, {**body, "stream": True})
        assert status == 200 and headers["content-type"].startswith("text/event-stream"), (status, text)
        events = text.decode().split("\n\n")
        assert events.pop() == "", text
        return events

    def events(self, path, body):
        """The chunks of a streamed answer; its last event must be [DONE]."""
        *events, last = self.stream(path, body)
        assert last == "data: [DONE]", last
        return [json.loads(event.removeprefix("data: ")) for event in events]

    def named_events(self, path, body):
        """The events of a streamed answer, each of which must be called by its type."""
        events = []
        for event in self.stream(path, body):
            name, data = event.split("\n")
            events.append(json.loads(data.removeprefix("data: ")))
            assert name == "event: " + events[-1]["type"], event
        return events

    def metric(self, name, key=None):
        """The sum of a metric over its labels."""
        _, _, text = self.send("/metrics", key=key)
        found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text.decode(), re.MULTILINE)
        return sum(map(float, found))

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(60)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
