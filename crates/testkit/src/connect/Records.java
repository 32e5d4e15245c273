import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Prints every record of every topic, Kafka's own and the worker's included, committed or not, one a line: topic, tab,
 * key, headers and value, each byte of them as a character and control characters as blanks.
 */
public class Records {
    public static void main(String[] arguments) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", arguments[0]);
        properties.put("isolation.level", "read_uncommitted");
        properties.put("exclude.internal.topics", "false");
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        ByteArrayDeserializer bytes = new ByteArrayDeserializer();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties, bytes, bytes)) {
            List<TopicPartition> partitions = new ArrayList<>();
            consumer.listTopics().values().forEach(infos -> infos.forEach(
                info -> partitions.add(new TopicPartition(info.topic(), info.partition()))));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            var ends = consumer.endOffsets(partitions);
            while (ends.entrySet().stream().anyMatch(end -> consumer.position(end.getKey()) < end.getValue())) {
                for (var record : consumer.poll(Duration.ofMillis(500))) {
                    out.println(record.topic() + "\t" + text(record));
                }
            }
        }
    }

    private static String text(ConsumerRecord<byte[], byte[]> record) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        add(all, record.key());
        record.headers().forEach(header -> {
            add(all, header.key().getBytes(StandardCharsets.UTF_8));
            add(all, header.value());
        });
        add(all, record.value());
        return all.toString(StandardCharsets.ISO_8859_1).replaceAll("\\p{Cntrl}", " ");
    }

    private static void add(ByteArrayOutputStream all, byte[] part) {
        all.writeBytes(part == null ? new byte[0] : part);
        all.write(' ');
    }
}
