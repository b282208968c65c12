"""The cache of models, with huggingface_hub: what this program fetches is found there and verified, and the other way.

    python3 check_hub_cache.py PROGRAM

Both fetch from tests/e2e/hub_server.py, which also answers what `hf cache verify` asks.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent


def run(program, *arguments, status=0, **environment):
    done = subprocess.run([program, *arguments], capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == status, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stdout


def start_hub(work):
    state = work / "state"
    state.mkdir()
    server = subprocess.Popen([sys.executable, HERE.parent / "e2e" / "hub_server.py", work / "repositories", state],
                              stdin=subprocess.PIPE)
    while not (state / "address").exists():
        assert server.poll() is None, "the hub does not start"
        time.sleep(0.02)
    return server, (state / "address").read_text().splitlines()[0]


def make_repository(folder):
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "1_Pooling" / "config.json").write_text("{}")
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2", "torch_dtype": "float32"}))
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 400)
    (folder / "tokenizer.json").write_text("{}")
    (folder / "README.md").write_text("# A model\n")
    return folder


def check(work, program, address):
    import huggingface_hub
    from huggingface_hub import HfApi, scan_cache_dir, snapshot_download

    def cache(name):
        return work / name / "hub"

    def scan(name):
        info = scan_cache_dir(cache(name))
        assert not info.warnings, info.warnings
        return info

    # Ours, read by theirs.
    path = run(program, "pull", "org/model", HF_HOME=str(work / "ours")).splitlines()[-2]
    found = snapshot_download("org/model", cache_dir=cache("ours"), local_files_only=True)
    assert os.path.samefile(found, path), (found, path)
    assert huggingface_hub.try_to_load_from_cache("org/model", "config.json", cache_dir=cache("ours")) == f"{path}/config.json"
    (repository,) = scan("ours").repos
    (revision,) = repository.revisions
    assert repository.repo_id == "org/model" and set(revision.refs) == {"main"}, repository
    assert {file.file_name for file in revision.files} == {"config.json", "model.safetensors", "tokenizer.json"}, revision
    verified = HfApi(endpoint=address).verify_repo_checksums("org/model", cache_dir=str(cache("ours")))
    assert verified.checked_count == 4 and not verified.mismatches and not verified.extra_paths, verified
    # They complete it, without fetching again what is there.
    before = {blob.name: blob.stat().st_ino for blob in (cache("ours") / "models--org--model" / "blobs").iterdir()}
    snapshot_download("org/model", cache_dir=cache("ours"), endpoint=address)
    after = {blob.name: blob.stat().st_ino for blob in (cache("ours") / "models--org--model" / "blobs").iterdir()}
    assert before.items() <= after.items() and len(after) == len(before) + 1, (before, after)

    # Theirs, read by ours, and found complete.
    snapshot = snapshot_download("org/model", cache_dir=cache("theirs"), endpoint=address)
    assert os.path.samefile(run(program, "models", "path", "org/model", HF_HOME=str(work / "theirs")).strip(), snapshot)
    assert "all there" in run(program, "pull", "org/model", HF_HOME=str(work / "theirs"))
    assert "4 files" in run(program, "models", "verify", "org/model", HF_HOME=str(work / "theirs"))
    scan("theirs")

    # Packed weights and removals leave a cache that theirs reads without a warning.
    run(program, "models", "remove", "org/model", "--yes", HF_HOME=str(work / "theirs"))
    assert not scan("theirs").repos
    # An unfinished download is no corruption either.
    blobs = cache("partial") / "models--org--model" / "blobs"
    run(program, "pull", "org/model", HF_HOME=str(work / "partial"))
    (blobs / ("0" * 64 + ".incomplete")).write_bytes(b"half")
    assert len(scan("partial").incomplete_files) == 1
    print(f"hub_cache: huggingface_hub {huggingface_hub.__version__} and this program read each other's caches")


def main():
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        make_repository(work / "repositories" / "org" / "model")
        server, address = start_hub(work)
        os.environ.update(HF_ENDPOINT=address, HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_TELEMETRY="1", HOME=name,
                          HF_HUB_DISABLE_PROGRESS_BARS="1", no_proxy="*")
        for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"):
            os.environ.pop(variable, None)
        try:
            check(work, sys.argv[1], address)
        finally:
            server.stdin.close()
            server.wait()


if __name__ == "__main__":
    main()
