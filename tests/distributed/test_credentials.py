"""Credentials are found in all documented places; an error says if they are the problem."""

import os
import threading
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer

import boto3
import pytest
from moto.server import ThreadedMotoServer

from zebjax.distributed import credentials, object_store, open, store

SECRET = "very-secret"
KEYS = f"aws_access_key_id = key\naws_secret_access_key = {SECRET}\n"


@pytest.fixture(scope="module")
def s3():
    """The address of an S3 server on loopback."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=address,
        aws_access_key_id="key",
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="some-bucket")
    yield address
    server.stop()


@pytest.fixture
def home(tmp_path, monkeypatch, s3):
    """An empty home, and an environment that knows where S3 is but no key."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    (tmp_path / ".aws").mkdir()
    return tmp_path


def can_write():
    place = object_store.ObjectStore("s3://some-bucket/run", retry_s=1)
    name = f"examples/{uuid.uuid4().hex}"
    assert place.put({name: b"x"}) == {name} and place.get(name, 10) == b"x"


def test_a_key_in_the_credentials_file_is_found(home):
    (home / ".aws" / "credentials").write_text(f"[default]\n{KEYS}")
    (home / ".aws" / "config").write_text("[default]\nregion = eu-west-1\n")
    assert credentials.s3_options()["region"] == "eu-west-1"
    can_write()


def test_the_profile_that_was_chosen_is_used(home, monkeypatch):
    (home / ".aws" / "credentials").write_text(f"[other]\n{KEYS}aws_session_token = t\n")
    (home / ".aws" / "config").write_text("[profile other]\nregion = eu-west-2\n")
    assert credentials.s3_options() == {}
    monkeypatch.setenv("AWS_PROFILE", "other")
    options = credentials.s3_options()
    given = options["credential_provider"]()
    assert (given["access_key_id"], given["token"]) == ("key", "t")
    assert options["region"] == "eu-west-2"
    can_write()
    monkeypatch.setenv("AWS_PROFILE", "none")
    with pytest.raises(store.Refused, match="AWS_PROFILE=none: there is no such profile in "):
        open.open_store("s3://some-bucket/run")


def test_the_files_may_lie_elsewhere_and_keys_that_change_are_read_again(home, monkeypatch):
    place = home / "elsewhere"
    place.write_text(f"[default]\n{KEYS}")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(place))
    provider = credentials.s3_options()["credential_provider"]
    place.write_text(f"[default]\n{KEYS.replace('= key', '= new')}")
    assert provider()["access_key_id"] == "new"
    can_write()


def test_the_environment_goes_first(home, monkeypatch):
    (home / ".aws" / "credentials").write_text(f"[default]\n{KEYS}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mine")
    monkeypatch.setenv("AWS_PROFILE", "none")
    assert credentials.s3_options() == {}
    can_write()


def test_a_profile_of_another_kind_is_boto3s(home):
    command = f'echo \'{{"Version": 1, "AccessKeyId": "key", "SecretAccessKey": "{SECRET}"}}\''
    (home / "keys.sh").write_text(command)
    process = f"credential_process = sh {home}/keys.sh\n"
    (home / ".aws" / "config").write_text(f"[default]\nregion = us-east-1\n{process}")
    can_write()


def test_a_file_that_is_none_is_said(home):
    (home / ".aws" / "credentials").write_text("no section\n")
    with pytest.raises(store.Refused, match="credentials: not a file of AWS profiles"):
        open.open_store("s3://some-bucket/run")


def test_without_credentials_it_says_so_and_where_it_looked(home):
    with pytest.raises(store.Refused) as caught:
        object_store.ObjectStore("s3://some-bucket/run", retry_s=1).put({"a": b"x"})
    text = str(caught.value)
    assert "no credentials found; looked for: AWS_ACCESS_KEY_ID" in text
    assert "the profile default in" in text and str(home) not in text and "\n" not in text


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"])
def test_credentials_that_are_refused_are_said_to_be(home, code, monkeypatch):
    """As Amazon answers; the server of these tests accepts every key."""

    class Refuses(BaseHTTPRequestHandler):
        def do_PUT(self):
            body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
            self.send_response(400 if code == "ExpiredToken" else 403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    (home / ".aws" / "credentials").write_text(f"[default]\n{KEYS}")
    with pytest.raises(store.Refused, match="the credentials are refused") as caught:
        object_store.ObjectStore("s3://some-bucket/run", retry_s=1).put({"a": b"x"})
    server.shutdown()
    assert code in str(caught.value) and SECRET not in str(caught.value)
