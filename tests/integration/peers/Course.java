/*
 * Course: Kafka's own clients go through the course of tests/integration/clients/go/course.
 *
 *     Course BOOTSTRAP PREFIX [PROTOCOL]
 *
 * PROTOCOL is the consumers' group.protocol, classic by default. A line for each step; exit 1 and
 * the reason at the first that goes wrong.
 */
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Course {
    private static final long LATE_NS = 40_000_000_000L;
    private static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");
    private static String bootstrap, protocol;
    private static Admin admin;

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        protocol = args.length > 2 ? args[2] : "classic";
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
        try {
            produceAndConsume(args[1] + "-records");
            group(args[1] + "-group");
            rebalance(args[1] + "-rebalance");
            transaction(args[1] + "-transaction");
            administer(args[1] + "-admin");
        } catch (Throwable failure) {
            System.out.println("FAILED " + failure);
            failure.printStackTrace(System.out);
            System.exit(1);
        }
        admin.close();
    }

    // ---- what is asked of it --------------------------------------------------------------------

    private record Entry(int partition, long offset, String key, String value, String header)
        implements Comparable<Entry> {
        Entry(int partition, long offset, String n) {
            this(partition, offset, "key-" + n, "value-" + n, n);
        }
        Entry(ConsumerRecord<String, String> r) {
            this(r.partition(), r.offset(), r.key(), r.value(),
                new String(r.headers().lastHeader("n").value()));
        }
        ProducerRecord<String, String> to(String topic) {
            ProducerRecord<String, String> record = new ProducerRecord<>(topic, partition, key, value);
            record.headers().add("n", header.getBytes());
            return record;
        }
        @Override
        public int compareTo(Entry other) {
            return partition != other.partition ? Integer.compare(partition, other.partition)
                                                : Long.compare(offset, other.offset);
        }
    }

    private static List<Entry> some(int partitions, int count, long first, String what) {
        List<Entry> records = new ArrayList<>();
        for (int i = 0; i < count; i++)
            for (int p = 0; p < partitions; p++)
                records.add(new Entry(p, first + i, what + "-" + p + "-" + i));
        return records;
    }

    private static List<Entry> ends(int partitions, long at) {
        List<Entry> records = new ArrayList<>();
        for (int p = 0; p < partitions; p++)
            records.add(new Entry(p, at, "end", "end", "end"));
        return records;
    }

    @SafeVarargs
    private static String sorted(Collection<Entry>... parts) {
        List<Entry> all = new ArrayList<>();
        for (Collection<Entry> part : parts)
            all.addAll(part);
        all.sort(null);
        return all.toString();
    }

    private static void same(String what, Object wanted, Object got) {
        if (!Objects.equals(wanted, got))
            throw new IllegalStateException(what + ": wanted " + wanted + ", got " + got);
    }

    private static void eventually(String what, Object wanted, Callable<Object> get) throws Exception {
        for (long deadline = System.nanoTime() + LATE_NS;; Thread.sleep(50)) {
            Object got;
            try {
                got = get.call();
            } catch (Exception e) {
                got = e;
            }
            if (wanted.equals(got))
                return;
            if (System.nanoTime() > deadline)
                throw new IllegalStateException(what + ": wanted " + wanted + ", got " + got);
        }
    }

    /* Who holds which partition, and what was handled by whom. */
    private static class Ledger {
        private final Map<Integer, String> held = new TreeMap<>();
        private final Map<String, Set<Entry>> seen = new TreeMap<>();
        private String wrong;

        synchronized void assigned(String name, int partition) {
            String by = held.put(partition, name);
            if (by != null && wrong == null)
                wrong = name + " got partition " + partition + ", which " + by + " holds";
        }
        synchronized void revoked(String name, int partition) {
            held.remove(partition, name);
        }
        synchronized void handled(String name, Entry entry) {
            seen.computeIfAbsent(name, n -> new TreeSet<>()).add(entry);
        }
        synchronized int holds(String name) {
            return (int) held.values().stream().filter(name::equals).count();
        }
        synchronized Set<Entry> records(String... names) {
            Set<Entry> all = new TreeSet<>();
            for (String name : names)
                all.addAll(seen.getOrDefault(name, Set.of()));
            return all;
        }
    }

    // ---- the clients ----------------------------------------------------------------------------

    private static KafkaProducer<String, String> producer(String key, String value) {
        return new KafkaProducer<>(Map.of("bootstrap.servers", bootstrap, key, value),
            new StringSerializer(), new StringSerializer());
    }

    private static KafkaConsumer<String, String> consumer(String group, String isolation) {
        return new KafkaConsumer<>(Map.of("bootstrap.servers", bootstrap, "group.id", group,
            "group.protocol", protocol, "isolation.level", isolation,
            "auto.offset.reset", "earliest", "enable.auto.commit", "false", "fetch.max.wait.ms", "100"),
            new StringDeserializer(), new StringDeserializer());
    }

    private static void produce(String topic, String codec, List<Entry> records) throws Exception {
        try (KafkaProducer<String, String> producer = producer("compression.type", codec)) {
            send(producer, topic, records);
        }
    }

    private static void send(KafkaProducer<String, String> producer, String topic, List<Entry> records)
        throws Exception {
        List<java.util.concurrent.Future<?>> sent = new ArrayList<>();
        for (Entry record : records)
            sent.add(producer.send(record.to(topic)));
        producer.flush();
        for (java.util.concurrent.Future<?> one : sent)
            one.get();
    }

    private static List<Entry> read(String topic, int partitions, String isolation) {
        List<Entry> got = new ArrayList<>();
        long deadline = System.nanoTime() + LATE_NS;
        try (KafkaConsumer<String, String> consumer = consumer(topic, isolation)) {
            List<TopicPartition> all = new ArrayList<>();
            for (int p = 0; p < partitions; p++)
                all.add(new TopicPartition(topic, p));
            consumer.assign(all);
            consumer.seekToBeginning(all);
            while (got.stream().filter(r -> r.value().equals("end")).count() < partitions) {
                consumer.poll(Duration.ofMillis(100)).forEach(r -> got.add(new Entry(r)));
                same("late", false, System.nanoTime() > deadline);
            }
        }
        return got;
    }

    /* A member with a thread of its own; a consumer belongs to one. */
    private static class Member implements ConsumerRebalanceListener {
        private final String name;
        private final Ledger ledger;
        private final Thread thread;
        private volatile boolean leaving;
        private volatile Throwable failure;

        Member(String group, String topic, Ledger ledger, String name) {
            this.name = name;
            this.ledger = ledger;
            thread = new Thread(() -> work(group, topic));
            thread.setDaemon(true);
            thread.start();
        }
        private void work(String group, String topic) {
            try (KafkaConsumer<String, String> consumer = consumer(group, "read_uncommitted")) {
                consumer.subscribe(List.of(topic), this);
                while (!leaving) {
                    consumer.poll(Duration.ofMillis(50)).forEach(r -> {
                        ledger.handled(name, new Entry(r));
                        consumer.commitSync(Map.of(new TopicPartition(topic, r.partition()),
                            new OffsetAndMetadata(r.offset() + 1)));
                    });
                }
            } catch (Throwable e) {
                failure = e;
            }
        }
        void leave() throws InterruptedException {
            leaving = true;
            thread.join(30_000);
            same("a member's end", null, failure);
            same("a member that does not end", false, thread.isAlive());
        }
        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            partitions.forEach(p -> ledger.assigned(name, p.partition()));
        }
        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            partitions.forEach(p -> ledger.revoked(name, p.partition()));
        }
    }

    private static void transact(String id, String group, String in, String out, List<Entry> records,
        boolean commit) throws Exception {
        try (KafkaProducer<String, String> producer = producer("transactional.id", id);
             KafkaConsumer<String, String> consumer = consumer(group, "read_committed")) {
            producer.initTransactions();
            producer.beginTransaction();
            send(producer, out, records);
            producer.sendOffsetsToTransaction(
                Map.of(new TopicPartition(in, 0), new OffsetAndMetadata(7)), consumer.groupMetadata());
            if (commit)
                producer.commitTransaction();
            else
                producer.abortTransaction();
        }
    }

    private static String describe(String topic) throws Exception {
        TopicDescription description = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
        return description.partitions().size() + " " + description.partitions().get(0).replicas().size();
    }

    private static String config(String topic) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        return admin.describeConfigs(List.of(resource)).all().get().get(resource).get("retention.ms").value();
    }

    private static String offsets(String topic, int partition) throws Exception {
        TopicPartition asked = new TopicPartition(topic, partition);
        return admin.listOffsets(Map.of(asked, OffsetSpec.earliest())).partitionResult(asked).get().offset()
            + " " + admin.listOffsets(Map.of(asked, OffsetSpec.latest())).partitionResult(asked).get().offset();
    }

    private static long committed(String group, String topic, int partition) throws Exception {
        OffsetAndMetadata at = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get()
            .get(new TopicPartition(topic, partition));
        return at == null ? -1 : at.offset();
    }

    private static String describeGroup(String group) throws Exception {
        ConsumerGroupDescription description =
            admin.describeConsumerGroups(List.of(group)).all().get().get(group);
        return description.groupState() + " " + description.members().size();
    }

    private static boolean hasGroup(String group) throws Exception {
        return admin.listGroups().all().get().stream().anyMatch(g -> g.groupId().equals(group));
    }

    // ---- the steps ------------------------------------------------------------------------------

    private static void create(String topic, int partitions) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 3))).all().get();
        eventually("partitions of " + topic, partitions + " 3", () -> describe(topic));
    }

    private static void produceAndConsume(String topic) throws Exception {
        create(topic, 3);
        List<Entry> wanted = new ArrayList<>();
        for (String codec : CODECS) {
            List<Entry> records = some(3, 20, wanted.size() / 3, codec);
            produce(topic, codec, records);
            wanted.addAll(records);
        }
        produce(topic, "none", ends(3, 100));
        for (int p = 0; p < 3; p++)
            same("offsets", "0 101", offsets(topic, p));
        System.out.println("produce " + String.join(" ", CODECS));
        List<Entry> got = read(topic, 3, "read_uncommitted");
        same("records", sorted(wanted, ends(3, 100)), sorted(got));
        System.out.println("consume " + got.size());
    }

    private static void group(String name) throws Exception {
        create(name, 3);
        for (int turn = 0; turn < 2; turn++) {
            List<Entry> wanted = some(3, 50, 50 * turn, "round" + turn);
            produce(name, "none", wanted);
            Ledger ledger = new Ledger();
            Member member = new Member(name, name, ledger, "a");
            eventually("150 records", true, () -> ledger.records("a").size() >= 150);
            member.leave();
            same("records", sorted(wanted), sorted(ledger.records("a")));
            for (int p = 0; p < 3; p++)
                same("committed", 50L * (turn + 1), committed(name, name, p));
        }
        System.out.println("group 300");
    }

    private static void rebalance(String name) throws Exception {
        create(name, 6);
        Ledger ledger = new Ledger();
        Member a = new Member(name, name, ledger, "a");
        eventually("a alone", 6, () -> ledger.holds("a"));
        Member b = new Member(name, name, ledger, "b");
        eventually("three each", "3 3", () -> ledger.holds("a") + " " + ledger.holds("b"));
        List<Entry> both = some(6, 10, 0, "both"), alone = some(6, 10, 10, "alone");
        produce(name, "none", both);
        eventually("60 records", true, () -> ledger.records("a", "b").size() >= 60);
        same("records", sorted(both), sorted(ledger.records("a", "b")));
        same("records of a and of b", "30 30",
            ledger.records("a").size() + " " + ledger.records("b").size());
        same("partitions held twice", null, ledger.wrong);

        a.leave();
        eventually("b alone", 6, () -> ledger.holds("b"));
        produce(name, "none", alone);
        eventually("120 records", true, () -> ledger.records("a", "b").size() >= 120);
        same("the group", "Stable 1", describeGroup(name));
        b.leave();
        same("records", sorted(both, alone), sorted(ledger.records("a", "b")));
        same("partitions held twice", null, ledger.wrong);
        System.out.println("rebalance 120");
    }

    private static void transaction(String name) throws Exception {
        String in = name + "-in";
        create(in, 1);
        produce(in, "none", some(1, 7, 0, "in"));
        create(name, 2);
        List<Entry> aborted = some(2, 5, 0, "aborted"), kept = some(2, 5, 6, "committed");
        transact(name, name, in, name, aborted, false);
        same("committed by an aborted transaction", -1L, committed(name, in, 0));
        transact(name, name, in, name, kept, true);
        produce(name, "none", ends(2, 12)); /* markers are at 5 and 11 */
        eventually("committed by a transaction", 7L, () -> committed(name, in, 0));
        same("read committed", sorted(kept, ends(2, 12)), sorted(read(name, 2, "read_committed")));
        same("read uncommitted", sorted(aborted, kept, ends(2, 12)),
            sorted(read(name, 2, "read_uncommitted")));
        System.out.println("transaction 10 of 20");
    }

    private static void administer(String topic) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, Optional.of(4), Optional.of((short) 3))
            .configs(Map.of("retention.ms", "600000")))).all().get();
        eventually("partitions and replicas", "4 3", () -> describe(topic));
        eventually("listed", true, () -> admin.listTopics().names().get().contains(topic));
        eventually("config", "600000", () -> config(topic));
        admin.incrementalAlterConfigs(Map.of(new ConfigResource(ConfigResource.Type.TOPIC, topic),
            List.of(new AlterConfigOp(new ConfigEntry("retention.ms", "700000"), AlterConfigOp.OpType.SET))))
            .all().get();
        eventually("config", "700000", () -> config(topic));
        admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(6))).all().get();
        eventually("partitions", "6 3", () -> describe(topic));

        produce(topic, "none", some(1, 10, 0, "admin"));
        same("offsets", "0 10", offsets(topic, 0));
        admin.deleteRecords(Map.of(new TopicPartition(topic, 0), RecordsToDelete.beforeOffset(4))).all().get();
        eventually("offsets", "4 10", () -> offsets(topic, 0));
        groups(topic);
        admin.deleteTopics(List.of(topic)).all().get();
        eventually("listed", false, () -> admin.listTopics().names().get().contains(topic));
        System.out.println("admin topics configs partitions records groups offsets deleted");
    }

    private static void groups(String name) throws Exception {
        Ledger ledger = new Ledger();
        Member member = new Member(name, name, ledger, "a");
        eventually("6 records", 6, () -> ledger.records("a").size());
        member.leave();
        same("groups", true, hasGroup(name));
        eventually("the group", "Empty 0", () -> describeGroup(name));
        same("committed", 10L, committed(name, name, 0));
        TopicPartition partition = new TopicPartition(name, 0);
        admin.alterConsumerGroupOffsets(name, Map.of(partition, new OffsetAndMetadata(5))).all().get();
        same("committed", 5L, committed(name, name, 0));
        admin.deleteConsumerGroupOffsets(name, Set.of(partition)).all().get();
        same("committed", -1L, committed(name, name, 0));
        admin.deleteConsumerGroups(List.of(name)).all().get();
        eventually("groups", false, () -> hasGroup(name));
    }
}
