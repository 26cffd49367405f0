/*
 * Transact: Java's transactional producer, and who reads committed, through a fixed course.
 *
 *     Transact BOOTSTRAP NAME
 *
 * NAME is a prefix for topics, groups and transactional ids that nobody else uses. Prints what each
 * step brought; the same course against two clusters prints the same lines.
 */
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Transact {
    private static String bootstrap, in, out, group, id;
    private static Admin admin;

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        in = args[1] + "-in";
        out = args[1] + "-out";
        group = args[1] + "-group";
        id = args[1] + "-id";
        admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
        admin.createTopics(List.of(new NewTopic(in, 2, (short) 1), new NewTopic(out, 2, (short) 1)))
            .all().get();
        try (KafkaProducer<String, String> producer = producer()) {
            producer.initTransactions();
            commitsAndAborts(producer);
            pipeline(producer);
            open(producer);
            fenced(producer);
        }
        producers();
        admin.close();
    }

    private static KafkaProducer<String, String> producer() {
        return new KafkaProducer<>(Map.of("bootstrap.servers", bootstrap, "transactional.id", id),
            new StringSerializer(), new StringSerializer());
    }

    private static KafkaConsumer<String, String> consumer(String isolation) {
        return new KafkaConsumer<>(Map.of("bootstrap.servers", bootstrap, "group.id", group,
            "isolation.level", isolation, "auto.offset.reset", "earliest",
            "enable.auto.commit", "false"), new StringDeserializer(), new StringDeserializer());
    }

    private static List<TopicPartition> both(String topic) {
        return List.of(new TopicPartition(topic, 0), new TopicPartition(topic, 1));
    }

    /* Every third transaction is aborted; each writes to both partitions. */
    private static void commitsAndAborts(KafkaProducer<String, String> producer) throws Exception {
        for (int t = 0; t < 12; t++) {
            producer.beginTransaction();
            for (int i = 0; i < 10; i++)
                producer.send(new ProducerRecord<>(in, i % 2, "k", "t" + t + "-" + i));
            if (t % 3 == 2) {
                producer.flush();
                producer.abortTransaction();
            } else {
                producer.commitTransaction();
            }
        }
        for (String isolation : List.of("read_uncommitted", "read_committed"))
            System.out.println(isolation + " " + values(in, isolation));
    }

    /* How many records there are, of how many transactions; all that is before the end. */
    private static String values(String topic, String isolation) {
        Collection<String> values = new TreeSet<>();
        int count = 0;
        try (KafkaConsumer<String, String> consumer = consumer(isolation)) {
            Map<TopicPartition, Long> ends = consumer.endOffsets(both(topic));
            consumer.assign(both(topic));
            consumer.seekToBeginning(both(topic));
            while (!ends.entrySet().stream().allMatch(e -> consumer.position(e.getKey()) >= e.getValue()))
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                    values.add(record.value().split("-")[0]);
                    count++;
                }
            return count + " records " + values + " up to " + new TreeMap<>(Map.of(0,
                ends.get(both(topic).get(0)), 1, ends.get(both(topic).get(1))));
        }
    }

    /* What is consumed, what is produced and the offset: together, or not at all. */
    private static void pipeline(KafkaProducer<String, String> producer) throws Exception {
        try (KafkaConsumer<String, String> consumer = consumer("read_committed")) {
            consumer.subscribe(List.of(in));
            Set<String> seen = new TreeSet<>();
            for (int round = 0; seen.size() < 80; round++) {
                Map<TopicPartition, OffsetAndMetadata> offsets = new TreeMap<>(
                    (a, b) -> a.partition() - b.partition());
                var records = consumer.poll(Duration.ofMillis(200));
                if (records.isEmpty())
                    continue;
                producer.beginTransaction();
                for (ConsumerRecord<String, String> record : records) {
                    producer.send(new ProducerRecord<>(out, record.partition(), null, record.value()));
                    seen.add(record.value());
                    offsets.put(new TopicPartition(in, record.partition()),
                        new OffsetAndMetadata(record.offset() + 1));
                }
                producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
                producer.commitTransaction();
            }
            System.out.println("seen " + seen.size());
            Map<TopicPartition, OffsetAndMetadata> back = Map.of(new TopicPartition(in, 0),
                new OffsetAndMetadata(1));
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(out, 0, null, "aborted-0"));
            producer.sendOffsetsToTransaction(back, consumer.groupMetadata());
            producer.abortTransaction();
        }
        TreeMap<Integer, Long> committed = new TreeMap<>();
        admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get()
            .forEach((partition, offset) -> committed.put(partition.partition(), offset.offset()));
        System.out.println("committed " + committed);
        String[] told = values(out, "read_committed").split(" up to ");
        System.out.println("out " + told[0]);
    }

    /* An open transaction holds back who reads committed, and nobody else. */
    private static void open(KafkaProducer<String, String> producer) throws Exception {
        producer.beginTransaction();
        producer.send(new ProducerRecord<>(in, 0, "k", "open-0")).get();
        for (String isolation : List.of("read_uncommitted", "read_committed"))
            System.out.println("open: " + isolation + " " + values(in, isolation));
        TransactionDescription described =
            admin.describeTransactions(List.of(id)).description(id).get();
        System.out.println("state " + described.state() + " " + described.topicPartitions().size());
        System.out.println("listed " + admin.listTransactions().all().get().stream()
            .filter(one -> one.transactionalId().equals(id)).map(one -> one.state()).toList());
    }

    /* Who comes with the same id ends the other's transaction, and the other. */
    private static void fenced(KafkaProducer<String, String> producer) throws Exception {
        try (KafkaProducer<String, String> successor = producer()) {
            successor.initTransactions();
            try {
                producer.send(new ProducerRecord<>(in, 0, "k", "fenced-0"));
                producer.commitTransaction();
                System.out.println("not fenced");
            } catch (Exception fenced) {
                System.out.println("fenced " + fenced.getClass().getSimpleName());
            }
            successor.beginTransaction();
            successor.send(new ProducerRecord<>(in, 0, "k", "successor-0"));
            successor.commitTransaction();
        }
        System.out.println("after: " + values(in, "read_committed"));
    }

    private static void producers() throws Exception {
        TopicPartition first = both(in).get(0);
        admin.describeProducers(List.of(first)).partitionResult(first).get().activeProducers()
            .forEach(one -> System.out.println("producer at sequence " + one.lastSequence()
                + " open " + one.currentTransactionStartOffset().isPresent()));
    }
}
