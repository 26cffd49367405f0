/*
 * Read: all records of a topic, as the Java consumer sees them.
 *
 *     Read BOOTSTRAP TOPIC
 *
 * One line each, by partition and offset: "PARTITION TIMESTAMP KEY VALUE HEADERS". Bytes are
 * base64, "-" is null and "=" is empty; headers are NAME:VALUE,NAME:VALUE with base64 names, or
 * "none". Ends with 1 where a key lies in another partition than BuiltInPartitioner says, unless
 * it has the header "anywhere".
 */
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public class Read {
    private static boolean astray = false;

    public static void main(String[] args) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", args[0]);
        settings.put("auto.offset.reset", "earliest");
        StringBuilder out = new StringBuilder();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(
                 settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            int partitions;
            /* A broker that lags behind the controller knows of no such topic, and Java of none. */
            while ((partitions = consumer.partitionsFor(args[1]).size()) == 0)
                Thread.sleep(100);
            for (int partition = 0; partition < partitions; partition++)
                read(consumer, new TopicPartition(args[1], partition), partitions, out);
        }
        System.out.print(out);
        System.out.flush();
        if (astray)
            System.exit(1);
    }

    private static void read(KafkaConsumer<byte[], byte[]> consumer, TopicPartition partition,
                             int partitions, StringBuilder out) {
        List<TopicPartition> one = List.of(partition);
        Map<TopicPartition, Long> ends = consumer.endOffsets(one);
        consumer.assign(one);
        consumer.seekToBeginning(one);
        while (consumer.position(partition) < ends.get(partition))
            for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200)))
                print(record, partitions, out);
    }

    private static void print(ConsumerRecord<byte[], byte[]> record, int partitions,
                              StringBuilder out) {
        if (record.key() != null && record.headers().lastHeader("anywhere") == null
            && BuiltInPartitioner.partitionForKey(record.key(), partitions) != record.partition()) {
            System.err.println("astray: " + text(record.key()) + " in " + record.partition());
            astray = true;
        }
        out.append(record.partition()).append(' ').append(record.timestamp()).append(' ')
            .append(text(record.key())).append(' ').append(text(record.value())).append(' ')
            .append(headers(record)).append('\n');
    }

    private static String text(byte[] bytes) {
        return bytes == null ? "-" : bytes.length == 0 ? "=" : Base64.getEncoder().encodeToString(bytes);
    }

    private static String headers(ConsumerRecord<byte[], byte[]> record) {
        StringBuilder out = new StringBuilder();
        for (Header header : record.headers())
            out.append(out.length() == 0 ? "" : ",")
                .append(text(header.key().getBytes(StandardCharsets.UTF_8))).append(':')
                .append(text(header.value()));
        return out.length() == 0 ? "none" : out.toString();
    }
}
