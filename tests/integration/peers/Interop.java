/*
 * Interop: as tests/integration/interop.c, by the Java clients.
 *
 *     Interop write BOOTSTRAP CODEC=TOPIC... < lines
 *     Interop read BOOTSTRAP TOPIC...
 *
 * A line is "TIMESTAMP KEY VALUE HEADERS"; bytes are base64, "-" is null and "=" is empty; headers
 * are NAME:VALUE,NAME:VALUE, or "none".
 */
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Base64;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class Interop {
    public static void main(String[] args) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", args[1]);
        if (args[0].equals("read")) {
            read(settings, args);
            return;
        }
        List<String> lines =
            new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII))
                .lines().toList();
        for (int i = 2; i < args.length; i++) {
            String[] target = args[i].split("=", 2);
            settings.put("compression.type", target[0]);
            write(settings, target[1], lines);
        }
    }

    private static void write(Properties settings, String topic, List<String> lines)
            throws Exception {
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(
                 settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (String line : lines)
                producer.send(record(topic, line.split(" ")), (where, error) -> {
                    if (error != null) {
                        System.err.println(error);
                        System.exit(1);
                    }
                });
        }
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, String[] words) {
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(
            topic, 0, Long.parseLong(words[0]), bytes(words[1]), bytes(words[2]));
        if (!words[3].equals("none"))
            for (String header : words[3].split(",")) {
                String[] pair = header.split(":");
                record.headers().add(new String(bytes(pair[0]), StandardCharsets.UTF_8),
                                     bytes(pair[1]));
            }
        return record;
    }

    private static void read(Properties settings, String[] args) {
        StringBuilder out = new StringBuilder();
        settings.put("auto.offset.reset", "earliest");
        settings.put("fetch.max.wait.ms", "10"); /* the next topic waits behind the last one's poll */
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(
                 settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            for (int i = 2; i < args.length; i++) {
                TopicPartition partition = new TopicPartition(args[i], 0);
                long end = consumer.endOffsets(List.of(partition)).get(partition);
                consumer.assign(List.of(partition));
                consumer.seekToBeginning(List.of(partition));
                while (consumer.position(partition) < end)
                    for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200)))
                        print(record, out);
            }
        }
        System.out.print(out);
    }

    private static void print(ConsumerRecord<byte[], byte[]> record, StringBuilder out) {
        out.append(record.topic()).append(' ').append(record.timestamp()).append(' ')
            .append(text(record.key())).append(' ').append(text(record.value())).append(' ');
        int count = 0;
        for (Header header : record.headers())
            out.append(count++ == 0 ? "" : ",")
                .append(text(header.key().getBytes(StandardCharsets.UTF_8))).append(':')
                .append(text(header.value()));
        out.append(count == 0 ? "none\n" : "\n");
    }

    private static byte[] bytes(String text) {
        return text.equals("-") ? null : text.equals("=") ? new byte[0] : Base64.getDecoder().decode(text);
    }

    private static String text(byte[] bytes) {
        return bytes == null ? "-" : bytes.length == 0 ? "=" : Base64.getEncoder().encodeToString(bytes);
    }
}
