"""gRPC by grpcio: `grpc_peer.py server PORT` serves, `grpc_peer.py client TARGET` calls and prints `fine`."""

import sys
import time
from concurrent import futures

import grpc


def identity(data):
    return data


def unary(request, context):
    context.set_trailing_metadata((("x-length", str(len(request))),))
    return request


def fail(request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no: ü")


def from_server(request, context):
    for n in range(int(request)):
        yield b"%d" % n


def from_client(requests, context):
    return b"+".join(requests)


def both(requests, context):
    for request in requests:
        yield request.upper()


def hang(request, context):
    # As long as the deadline that came through, and no longer.
    left = context.time_remaining()
    time.sleep(min(left if left is not None else 30, 30))
    return b"%f" % left


def serve(port):
    kinds = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Hang": grpc.unary_unary_rpc_method_handler(hang),
        "Server": grpc.unary_stream_rpc_method_handler(from_server),
        "Client": grpc.stream_unary_rpc_method_handler(from_client),
        "Both": grpc.stream_stream_rpc_method_handler(both),
    }
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=16), options=[("grpc.max_receive_message_length", -1)]
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Peer", kinds),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def call(target):
    options = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(target, options=options) as channel:
        ask = channel.unary_unary("/test.Peer/Unary")
        for size in [0, 1, 16_384, 70_000, 8_000_000]:
            answer, info = ask.with_call(b"x" * size, timeout=60)
            assert len(answer) == size, size
            assert dict(info.trailing_metadata())["x-length"] == str(size), size
        many = [ask.future(b"%d" % n, timeout=60) for n in range(500)]
        assert [each.result() for each in many] == [b"%d" % n for n in range(500)]
        parts = list(channel.unary_stream("/test.Peer/Server")(b"1000", timeout=60))
        assert parts == [b"%d" % n for n in range(1000)]
        joined = channel.stream_unary("/test.Peer/Client")(iter([b"a", b"b", b"c"]), timeout=60)
        assert joined == b"a+b+c", joined
        words = [b"word%d" % n for n in range(300)]
        echoed = list(channel.stream_stream("/test.Peer/Both")(iter(words), timeout=60))
        assert echoed == [word.upper() for word in words]
        expect(grpc.StatusCode.FAILED_PRECONDITION, "no: ü", channel.unary_unary("/test.Peer/Fail"), 60)
        expect(grpc.StatusCode.UNIMPLEMENTED, None, channel.unary_unary("/test.Peer/Nothing"), 60)
        expect(grpc.StatusCode.DEADLINE_EXCEEDED, None, channel.unary_unary("/test.Peer/Hang"), 0.5)
    print("fine")


def expect(code, details, method, timeout):
    try:
        method(b"", timeout=timeout)
    except grpc.RpcError as error:
        assert error.code() == code, error
        assert details is None or error.details() == details, error
        return
    raise AssertionError(f"expected {code}")


if sys.argv[1] == "server":
    serve(sys.argv[2])
else:
    call(sys.argv[2])
