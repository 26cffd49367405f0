/*
 * Member: a Java consumer in a group, beside which ours has to get along.
 *
 *     Member BOOTSTRAP GROUP TOPIC[,TOPIC…] ASSIGNOR[,ASSIGNOR…] [records=N] [sleep=MS] [KEY=VALUE]…
 *
 * ~REGEX in place of topics subscribes to those that match it, by the broker's judgement (RE2).
 * ASSIGNOR is range, roundrobin, sticky, cooperative-sticky, or the word consumer: the KIP-848
 * protocol. Prints, a line each and at once:
 *
 *     assigned t-0 t-1      revoked t-1      lost t-0        (only what changed)
 *     record TOPIC PARTITION OFFSET HASH                     (CRC-32 of the value; "null" for none)
 *     committed                                              (after each poll's records)
 *     closed N                                               (N records in all)
 *
 * Commits synchronously what it has printed, before it polls again. Ends after N records, or on
 * SIGTERM (exit 143), by leaving the group. Everything else is a consumer property.
 */
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Properties;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public class Member {
    private static volatile boolean stopping;
    private static long wanted = Long.MAX_VALUE;
    private static long pause;
    private static long seen;

    public static void main(String[] args) throws Exception {
        Properties settings = settings(args);
        KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(
            settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            stopping = true;
            consumer.wakeup();
            try {
                main.join(30_000);
            } catch (InterruptedException e) {
                return;
            }
        }));

        if (args[2].startsWith("~"))
            consumer.subscribe(new SubscriptionPattern(args[2].substring(1)), new Listener());
        else
            consumer.subscribe(List.of(args[2].split(",")), new Listener());
        while (!stopping && seen < wanted)
            step(consumer);
        consumer.close();
        say("closed " + seen);
    }

    /* What was handled is committed even when the stop came in between. */
    private static void step(KafkaConsumer<byte[], byte[]> consumer) throws InterruptedException {
        ConsumerRecords<byte[], byte[]> records;
        try {
            records = consumer.poll(Duration.ofMillis(200));
        } catch (WakeupException e) {
            return;
        }
        if (records.isEmpty())
            return;
        for (ConsumerRecord<byte[], byte[]> record : records)
            handle(record);
        while (true) {
            try {
                consumer.commitSync();
                say("committed");
                return;
            } catch (WakeupException e) {
                continue; /* thrown once */
            } catch (RebalanceInProgressException e) {
                return; /* the listener's next call comes first; the offsets are committed later */
            }
        }
    }

    private static void handle(ConsumerRecord<byte[], byte[]> record) throws InterruptedException {
        if (pause > 0)
            Thread.sleep(pause);
        seen++;
        say("record " + record.topic() + " " + record.partition() + " " + record.offset() + " "
            + hash(record.value()));
    }

    private static String hash(byte[] value) {
        if (value == null)
            return "null";
        CRC32 crc = new CRC32();
        crc.update(value);
        return String.format("%08x", crc.getValue());
    }

    private static Properties settings(String[] args) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", args[0]);
        settings.put("group.id", args[1]);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        if (args[3].equals("consumer"))
            settings.put("group.protocol", "consumer");
        else
            settings.put("partition.assignment.strategy",
                Stream.of(args[3].split(",")).map(Member::assignor).collect(Collectors.joining(",")));
        for (int i = 4; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            if (pair[0].equals("records"))
                wanted = Long.parseLong(pair[1]);
            else if (pair[0].equals("sleep"))
                pause = Long.parseLong(pair[1]);
            else
                settings.put(pair[0], pair[1]);
        }
        return settings;
    }

    private static String assignor(String name) {
        String prefix = "org.apache.kafka.clients.consumer.";
        switch (name) {
        case "range": return prefix + "RangeAssignor";
        case "roundrobin": return prefix + "RoundRobinAssignor";
        case "sticky": return prefix + "StickyAssignor";
        case "cooperative-sticky": return prefix + "CooperativeStickyAssignor";
        default: return name;
        }
    }

    private static synchronized void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    private static class Listener implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            tell("assigned", partitions);
        }
        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            tell("revoked", partitions);
        }
        @Override
        public void onPartitionsLost(Collection<TopicPartition> partitions) {
            tell("lost", partitions);
        }
        private static void tell(String what, Collection<TopicPartition> partitions) {
            say(what + partitions.stream().map(p -> " " + p).sorted().collect(Collectors.joining()));
        }
    }
}
