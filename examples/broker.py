#!/usr/bin/env python3
"""A Kafka inside this process, from Python's standard library alone.

    python3 examples/broker.py path/to/libkafiber_broker.so

What a test of yours would do: start the broker, let your program write to
Broker.bootstrap with any Kafka client, then ask what arrived. Here the C
interface writes, so that the example needs nothing else.
"""
import ctypes
import sys


class Options(ctypes.Structure):
    """The beginning of kf_broker_options: what follows keeps its default."""

    _fields_ = [
        ("size", ctypes.c_size_t),
        ("alloc", ctypes.c_void_p),
        ("listen", ctypes.c_char_p),
        ("nodes", ctypes.c_int32),
        ("thread", ctypes.c_bool),
    ]


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int32), ("text", ctypes.c_char * 512)]


class Bytes(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_size_t)]


class Broker:
    def __init__(self, library, nodes=1):
        self.kf = ctypes.CDLL(library)
        self.kf.kf_broker_start.restype = ctypes.c_void_p
        self.kf.kf_broker_bootstrap.restype = ctypes.c_char_p
        self.kf.kf_broker_check_produced.restype = ctypes.c_bool
        self.kf.kf_err_name.restype = ctypes.c_char_p
        error = Error()
        options = Options(size=ctypes.sizeof(Options), nodes=nodes, thread=True)
        broker = self.kf.kf_broker_start(ctypes.byref(options), ctypes.byref(error))
        if not broker:
            raise RuntimeError(error.text.decode())
        self.broker = ctypes.c_void_p(broker)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kf.kf_broker_stop(self.broker)

    @property
    def bootstrap(self):
        return self.kf.kf_broker_bootstrap(self.broker).decode()

    def check(self, err):
        if err:
            raise RuntimeError(self.kf.kf_err_name(err).decode())

    def create_topic(self, topic, partitions=1):
        self.check(self.kf.kf_broker_create_topic(self.broker, topic.encode(), partitions, 1))

    def produce(self, topic, partition, key, value):
        key, value = Bytes(key, len(key)), Bytes(value, len(value))
        self.check(
            self.kf.kf_broker_produce(
                self.broker, topic.encode(), partition, key, value, ctypes.c_int64(-1), None
            )
        )

    def script(self, text):
        """Faults and events, a line each; see docs/broker.md."""
        error = Error()
        if self.kf.kf_broker_script(self.broker, text.encode(), ctypes.byref(error)):
            raise ValueError(error.text.decode())

    def assert_produced(self, topic, key, value):
        miss = Error()
        found = self.kf.kf_broker_check_produced(
            self.broker, topic.encode(), key, value, ctypes.byref(miss)
        )
        assert found, miss.text.decode()


def main():
    with Broker(sys.argv[1]) as broker:
        broker.create_topic("orders", partitions=6)
        broker.produce("orders", 0, b"order-1", b"paid")
        broker.assert_produced("orders", b"order-1", b"paid")
        try:
            broker.assert_produced("orders", b"order-1", b"cancelled")
        except AssertionError as miss:
            print(f"as it should: {miss}")
        broker.script("on Fetch #3 topic=orders answer NOT_LEADER_OR_FOLLOWER")
        try:
            broker.script("on Fetsh close")
        except ValueError as error:
            print(f"as it should: {error}")
        print(f"any Kafka client would find it at {broker.bootstrap}")


if __name__ == "__main__":
    main()
