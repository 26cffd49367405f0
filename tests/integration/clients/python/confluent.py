"""confluent-kafka for Python, which is librdkafka, goes through the course.

    confluent.py BOOTSTRAP PREFIX [PROTOCOL]

PROTOCOL is the group's: classic, or consumer (KIP-848), where the broker assigns.
"""
import sys
import threading

import course
from confluent_kafka import (Consumer, ConsumerGroupTopicPartitions, IsolationLevel, Producer,
                             TopicCollection, TopicPartition)
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource,
                                   NewPartitions, NewTopic, OffsetSpec, ResourceType)

LATE = 30
PROTOCOL = {"classic": {"heartbeat.interval.ms": 500, "partition.assignment.strategy": "cooperative-sticky"},
            "consumer": {"group.protocol": "consumer"}}


def one(futures):
    return next(iter(futures.values())).result(LATE)


def record(message):
    return course.Record(message.partition(), message.offset(), message.key().decode(),
                         message.value().decode(), message.headers()[0][1].decode())


class Client:
    codecs = ["none", "gzip", "snappy", "lz4", "zstd"]

    def __init__(self, bootstrap, protocol="classic"):
        self.at = {"bootstrap.servers": bootstrap}
        self.protocol = PROTOCOL[protocol]
        self.admin = AdminClient(self.at)

    # ---- records --------------------------------------------------------------------------------

    def send(self, producer, topic, records):
        errors = []
        for r in records:
            producer.produce(topic, key=r.key, value=r.value, partition=r.partition,
                             headers=[("n", r.header)],
                             on_delivery=lambda error, _: error and errors.append(error))
        course.same("records without an acknowledgement", 0, producer.flush(LATE))
        course.same("errors", [], errors)

    def produce(self, topic, codec, records):
        self.send(Producer({**self.at, "compression.type": codec, "enable.idempotence": True}),
                  topic, records)

    def read(self, topic, partitions, committed):
        consumer = Consumer({**self.at, "group.id": topic + "-reader", "enable.auto.commit": False,
                             "isolation.level": "read_committed" if committed else "read_uncommitted"})
        consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
        got = []
        while sum(r.value == "end" for r in got) < partitions:
            message = consumer.poll(LATE)
            if message is None or message.error():
                course.fail(f"read {topic}: {message and message.error()}")
            got.append(record(message))
        consumer.close()
        return got

    # ---- groups and transactions ----------------------------------------------------------------

    def join(self, group, topic, ledger, name):
        stop = threading.Event()
        consumer = Consumer({**self.at, "group.id": group, "auto.offset.reset": "earliest",
                             "enable.auto.commit": False, **self.protocol})

        def each(method):
            return lambda _, partitions: [method(name, p.partition) for p in partitions]

        def work():
            while not stop.is_set():
                message = consumer.poll(0.1)
                if message is not None and not message.error():
                    ledger.handled(name, record(message))
                    consumer.commit(message, asynchronous=False)
            consumer.close()

        consumer.subscribe([topic], on_assign=each(ledger.assigned), on_revoke=each(ledger.revoked),
                           on_lost=each(ledger.revoked))
        thread = threading.Thread(target=work, daemon=True)
        thread.start()

        def leave():
            stop.set()
            thread.join(LATE)
            course.same("a member that does not end", False, thread.is_alive())
        return leave

    def transact(self, name, group, source, target, records, commit):
        producer = Producer({**self.at, "transactional.id": name})
        producer.init_transactions(LATE)
        producer.begin_transaction()
        self.send(producer, target, records)
        consumer = Consumer({**self.at, "group.id": group})
        producer.send_offsets_to_transaction([TopicPartition(source, 0, 7)],
                                             consumer.consumer_group_metadata(), LATE)
        if commit:
            producer.commit_transaction(LATE)
        else:
            producer.abort_transaction(LATE)
        consumer.close()

    # ---- administration -------------------------------------------------------------------------

    def create(self, topic, partitions, replicas, config):
        one(self.admin.create_topics([NewTopic(topic, partitions, replicas, config=config)]))

    def describe(self, topic):
        described = one(self.admin.describe_topics(TopicCollection([topic])))
        return len(described.partitions), len(described.partitions[0].replicas)

    def topics(self):
        return self.admin.list_topics(timeout=LATE).topics.keys()

    def config(self, topic, key):
        return one(self.admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]))[key].value

    def alter(self, topic, key, value):
        entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        one(self.admin.incremental_alter_configs(
            [ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])]))

    def add_partitions(self, topic, count):
        one(self.admin.create_partitions([NewPartitions(topic, count)]))

    def offsets(self, topic, partition):
        asked = TopicPartition(topic, partition)
        return tuple(one(self.admin.list_offsets(
            {asked: spec}, isolation_level=IsolationLevel.READ_UNCOMMITTED)).offset
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest()))

    def delete_records(self, topic, partition, before):
        one(self.admin.delete_records([TopicPartition(topic, partition, before)]))

    def delete(self, topic):
        one(self.admin.delete_topics([topic]))

    def groups(self):
        return [g.group_id for g in self.admin.list_consumer_groups().result(LATE).valid]

    def describe_group(self, group):
        described = one(self.admin.describe_consumer_groups([group]))
        return described.state.name.capitalize(), len(described.members)

    def committed(self, group, topic, partition):
        asked = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, partition)])
        at = one(self.admin.list_consumer_group_offsets([asked])).topic_partitions[0].offset
        return -1 if at == -1001 else at  # librdkafka's word for none

    def alter_offset(self, group, topic, partition, offset):
        one(self.admin.alter_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, partition, offset)])]))

    def delete_group(self, group):
        one(self.admin.delete_consumer_groups([group]))


course.run(Client(sys.argv[1], *sys.argv[3:]), sys.argv[2])
