"""aiokafka goes through the course.

    aio.py BOOTSTRAP PREFIX

The event loop has a thread of its own; what the course calls waits for it.
"""
import asyncio
import sys
import threading

import course
from aiokafka import (AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener,
                      TopicPartition)
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.errors import for_code

LATE = 30
loop = asyncio.new_event_loop()


def wait(coroutine):
    return asyncio.run_coroutine_threadsafe(asyncio.wait_for(coroutine, LATE), loop).result()


def good(*codes):
    for code in codes:
        if code:
            raise for_code(code)


def record(message):
    return course.Record(message.partition, message.offset, message.key.decode(),
                         message.value.decode(), message.headers[0][1].decode())


class Listener(ConsumerRebalanceListener):
    def __init__(self, ledger, name):
        self.ledger, self.name = ledger, name

    async def on_partitions_assigned(self, assigned):
        for p in assigned:
            self.ledger.assigned(self.name, p.partition)

    async def on_partitions_revoked(self, revoked):
        for p in revoked:
            self.ledger.revoked(self.name, p.partition)


class Client:
    codecs = ["none", "gzip", "snappy", "lz4", "zstd"]

    def __init__(self, bootstrap):
        self.at = {"bootstrap_servers": bootstrap}

    async def start(self):
        self.admin = AIOKafkaAdminClient(**self.at)
        await self.admin.start()

    # ---- records --------------------------------------------------------------------------------

    async def send(self, producer, topic, records):
        sent = [await producer.send(topic, r.value.encode(), r.key.encode(), r.partition,
                                    headers=[("n", r.header.encode())]) for r in records]
        await asyncio.gather(*sent)

    def produce(self, topic, codec, records):
        async def work():
            async with AIOKafkaProducer(**self.at, enable_idempotence=True,
                                        compression_type=None if codec == "none" else codec) as producer:
                await self.send(producer, topic, records)
        wait(work())

    def read(self, topic, partitions, committed):
        async def work():
            got = []
            async with AIOKafkaConsumer(**self.at, isolation_level="read_committed" if committed
                                        else "read_uncommitted") as consumer:
                asked = [TopicPartition(topic, p) for p in range(partitions)]
                consumer.assign(asked)
                await consumer.seek_to_beginning(*asked)
                while sum(r.value == "end" for r in got) < partitions:
                    got.append(record(await consumer.getone()))
            return got
        return wait(work())

    # ---- groups and transactions ----------------------------------------------------------------

    def join(self, group, topic, ledger, name):
        async def begin():
            consumer = AIOKafkaConsumer(**self.at, group_id=group, auto_offset_reset="earliest",
                                        enable_auto_commit=False, heartbeat_interval_ms=500,
                                        metadata_max_age_ms=1000)
            listener = Listener(ledger, name)
            consumer.subscribe([topic], listener=listener)
            await consumer.start()

            async def work():
                async for message in consumer:
                    ledger.handled(name, record(message))
                    await consumer.commit({TopicPartition(topic, message.partition): message.offset + 1})
            task = asyncio.ensure_future(work())

            async def end():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                held = consumer.assignment()
                await consumer.stop()
                await listener.on_partitions_revoked(held)  # the client itself is silent about it
            return end
        end = wait(begin())
        return lambda: wait(end())

    def transact(self, name, group, source, target, records, commit):
        async def work():
            async with AIOKafkaProducer(**self.at, transactional_id=name) as producer:
                await producer.begin_transaction()
                await self.send(producer, target, records)
                await producer.send_offsets_to_transaction({TopicPartition(source, 0): 7}, group)
                if commit:
                    await producer.commit_transaction()
                else:
                    await producer.abort_transaction()
        wait(work())

    # ---- administration -------------------------------------------------------------------------

    def create(self, topic, partitions, replicas, config):
        answer = wait(self.admin.create_topics([NewTopic(topic, partitions, replicas, topic_configs=config)]))
        good(*(error[1] for error in answer.topic_errors))

    def describe(self, topic):
        described = wait(self.admin.describe_topics([topic]))[0]
        good(described["error_code"])
        return len(described["partitions"]), len(described["partitions"][0]["replicas"])

    def topics(self):
        return wait(self.admin.list_topics())

    def config(self, topic, key):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, {key: None})
        code, _, _, _, entries = wait(self.admin.describe_configs([resource]))[0].resources[0]
        good(code)
        return entries[0][1]

    def alter(self, topic, key, value):
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, {key: value})
        good(*(answer[0] for answer in wait(self.admin.alter_configs([resource]))[0].resources))

    def add_partitions(self, topic, count):
        wait(self.admin.create_partitions({topic: NewPartitions(count)}))

    def offsets(self, topic, partition):
        async def work():
            async with AIOKafkaConsumer(**self.at) as consumer:
                asked = TopicPartition(topic, partition)
                return ((await consumer.beginning_offsets([asked]))[asked],
                        (await consumer.end_offsets([asked]))[asked])
        return wait(work())

    def delete_records(self, topic, partition, before):
        wait(self.admin.delete_records({TopicPartition(topic, partition): RecordsToDelete(before)}))

    def delete(self, topic):
        good(*(code for _, code in wait(self.admin.delete_topics([topic])).topic_error_codes))

    def groups(self):
        return [group for group, *_ in wait(self.admin.list_consumer_groups())]

    def describe_group(self, group):
        code, _, state, _, _, members, *_ = wait(self.admin.describe_consumer_groups([group]))[0].groups[0]
        good(code)
        return state, len(members)

    def committed(self, group, topic, partition):
        asked = TopicPartition(topic, partition)
        return wait(self.admin.list_consumer_group_offsets(group, partitions=[asked]))[asked].offset


threading.Thread(target=loop.run_forever, daemon=True).start()
client = Client(sys.argv[1])
wait(client.start())
course.run(client, sys.argv[2])
wait(client.admin.close())
