"""The wire format is JetStream's: a real server reads what we write, and we read what it writes."""

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor

from mistral_operator.wire import jetstream_pb2
from mistral_operator.wire.jetstream_pb2 import DecodeRequest, DecodeResponse

ROOT = Path(__file__).parents[3]
INT32, STRING, FLOAT = FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_FLOAT
BOOL, MESSAGE = FieldDescriptor.TYPE_BOOL, FieldDescriptor.TYPE_MESSAGE

# Upstream's jetstream/core/proto/jetstream.proto, by hand: name, number, type, repeated.
UPSTREAM = {
    "DecodeRequest": [
        ("max_tokens", 4, INT32, False),
        ("text_content", 5, MESSAGE, False),
        ("token_content", 6, MESSAGE, False),
        ("metadata", 7, MESSAGE, False),
        ("num_samples", 8, INT32, False),
    ],
    "DecodeRequest.TextContent": [("text", 1, STRING, False)],
    "DecodeRequest.TokenContent": [("token_ids", 1, INT32, True)],
    "DecodeRequest.Metadata": [("start_time", 1, FLOAT, False)],
    "DecodeResponse": [("initial_content", 2, MESSAGE, False), ("stream_content", 3, MESSAGE, False)],
    "DecodeResponse.InitialContent": [],
    "DecodeResponse.StreamContent": [("samples", 1, MESSAGE, True)],
    "DecodeResponse.StreamContent.Sample": [("text", 1, STRING, False), ("token_ids", 2, INT32, True)],
    "HealthCheckRequest": [],
    "HealthCheckResponse": [("is_live", 1, BOOL, False)],
}


@pytest.mark.parametrize("name", UPSTREAM)
def test_messages_have_upstreams_numbers(name: str) -> None:
    outer, *inner = name.split(".")
    message = jetstream_pb2.DESCRIPTOR.message_types_by_name[outer]
    for part in inner:
        message = message.nested_types_by_name[part]
    assert message.full_name == f"jetstream_proto.{name}"
    assert [(f.name, f.number, f.type, f.is_repeated) for f in message.fields] == UPSTREAM[name]


def test_the_service_has_upstreams_names() -> None:
    service = jetstream_pb2.DESCRIPTOR.services_by_name["Orchestrator"]
    assert service.full_name == "jetstream_proto.Orchestrator"
    assert {method.name: method.server_streaming for method in service.methods} == {
        "Decode": True,
        "HealthCheck": False,
    }


def test_bytes_of_a_request_and_of_an_answer() -> None:
    request = DecodeRequest(max_tokens=5, token_content=DecodeRequest.TokenContent(token_ids=[3, 300]))
    assert request.SerializeToString() == bytes.fromhex("2005 32050a0303ac02")
    answer = DecodeResponse.FromString(bytes.fromhex("1a06 0a04 1202 0708"))
    assert list(answer.stream_content.samples[0].token_ids) == [7, 8]


def test_what_earlier_releases_sent_in_reserved_fields_is_kept_out() -> None:
    # 1 was session_cache, a string; 3 was priority.
    request = DecodeRequest.FromString(bytes.fromhex("0a0161 1807 2005"))
    assert request.max_tokens == 5
    assert not {1, 2, 3} & {field.number for field in DecodeRequest.DESCRIPTOR.fields}


def test_generated_code_is_up_to_date() -> None:
    command = [sys.executable, ROOT / "tools" / "generate_wire.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
