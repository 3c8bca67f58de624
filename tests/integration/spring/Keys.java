import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.HexFormat;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Java's own producer puts keys where it does: each line of standard input is a key in hex, a space and a value; each goes to the topic.
 * Prints the partition of each, a line each.
 *
 * Arguments: BOOTSTRAP TOPIC
 */
public class Keys {
    public static void main(String[] arguments) throws Exception {
        var lines = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        try (var producer = new KafkaProducer<byte[], byte[]>(Map.of("bootstrap.servers", arguments[0]), new ByteArraySerializer(), new ByteArraySerializer())) {
            for (String line; (line = lines.readLine()) != null; ) {
                int space = line.indexOf(' ');
                var record = new ProducerRecord<>(arguments[1], HexFormat.of().parseHex(line.substring(0, space)), line.substring(space + 1).getBytes("UTF-8"));
                System.out.println(producer.send(record).get().partition());
            }
        }
    }
}
