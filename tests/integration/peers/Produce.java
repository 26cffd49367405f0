/*
 * Produce: writes known records with the Java producer.
 *
 *     Produce BOOTSTRAP TOPIC N [rate=PER_SECOND] [size=BYTES] [nulls=yes] [headers=yes]
 *             [partitions=P] [start=I] [abort=EVERY] [KEY=VALUE]…
 *
 * Record i (from `start`) has key "key-i" and value "value-i", filled with dots up to `size`
 * bytes. With nulls=yes every third key, every fifth value is null and every seventh value empty.
 * With headers=yes it carries  index=i, empty=(no bytes), null=(null), index=again. With
 * partitions=P record i goes to partition i mod P, else where its key leads. compression.type=…
 * and the like are producer properties; acks is all.
 *
 * With transactional.id=… the records go out in transactions of 100, of which every EVERY-th is
 * aborted. Prints "PARTITION OFFSET i" for each acknowledged record, then "produced N".
 */
import java.nio.charset.StandardCharsets;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class Produce {
    private static final int TRANSACTION = 100;

    private static final Properties settings = new Properties();
    private static final AtomicLong acknowledged = new AtomicLong();
    private static final AtomicLong refused = new AtomicLong();

    public static void main(String[] args) throws Exception {
        settings.put("bootstrap.servers", args[0]);
        settings.put("acks", "all");
        for (int i = 3; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        long count = Long.parseLong(args[2]), start = number("start", 0), rate = number("rate", 0);
        long abortEvery = number("abort", 0);
        int size = (int) number("size", 0), partitions = (int) number("partitions", 0);
        boolean nulls = settings.remove("nulls") != null;
        boolean headers = settings.remove("headers") != null;
        boolean transactions = settings.containsKey("transactional.id");

        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(
                 settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            if (transactions)
                producer.initTransactions();
            long began = System.nanoTime();
            for (long n = 0; n < count; n++) {
                if (transactions && n % TRANSACTION == 0)
                    producer.beginTransaction();
                send(producer, record(args[1], start + n, size, partitions, nulls, headers),
                     start + n);
                if (transactions && (n % TRANSACTION == TRANSACTION - 1 || n == count - 1))
                    end(producer, abortEvery, n / TRANSACTION + 1);
                if (rate > 0)
                    sleepUntil(began + (n + 1) * 1_000_000_000L / rate);
            }
            producer.flush();
        }
        System.out.println("produced " + acknowledged);
        System.exit(refused.get() == 0 ? 0 : 1);
    }

    /* Numbers of our own are taken out, so that the producer does not warn of them. */
    private static long number(String name, long fallback) {
        Object value = settings.remove(name);
        return value == null ? fallback : Long.parseLong((String) value);
    }

    private static void end(KafkaProducer<byte[], byte[]> producer, long abortEvery, long nth) {
        producer.flush();
        if (abortEvery > 0 && nth % abortEvery == 0)
            producer.abortTransaction();
        else
            producer.commitTransaction();
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, long i, int size,
            int partitions, boolean nulls, boolean headers) {
        byte[] key = nulls && i % 3 == 0 ? null : bytes("key-" + i);
        StringBuilder text = new StringBuilder("value-" + i);
        while (text.length() < size)
            text.append('.');
        byte[] value = bytes(text.toString());
        if (nulls && i % 5 == 0)
            value = null;
        else if (nulls && i % 7 == 0)
            value = new byte[0];

        Integer partition = partitions > 0 ? (Integer) (int) (i % partitions) : null;
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(topic, partition, key, value);
        if (headers)
            record.headers().add("index", bytes("" + i)).add("empty", new byte[0])
                .add("null", (byte[]) null).add("index", bytes("again"));
        return record;
    }

    private static void send(KafkaProducer<byte[], byte[]> producer,
            ProducerRecord<byte[], byte[]> record, long i) {
        producer.send(record, (where, error) -> {
            if (error != null) {
                refused.incrementAndGet();
                System.err.println("record " + i + ": " + error);
                return;
            }
            acknowledged.incrementAndGet();
            System.out.println(where.partition() + " " + where.offset() + " " + i);
        });
    }

    private static byte[] bytes(String text) { return text.getBytes(StandardCharsets.UTF_8); }

    private static void sleepUntil(long time) throws InterruptedException {
        long left = time - System.nanoTime();
        if (left > 1_000_000)
            Thread.sleep(left / 1_000_000, (int) (left % 1_000_000));
    }
}
