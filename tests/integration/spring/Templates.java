import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.listener.ContainerProperties;
import org.springframework.kafka.listener.KafkaMessageListenerContainer;
import org.springframework.kafka.requestreply.ReplyingKafkaTemplate;
import org.springframework.kafka.requestreply.RequestReplyFuture;
import org.springframework.kafka.support.TopicPartitionOffset;

/**
 * Two of Spring's ReplyingKafkaTemplate on one reply topic, as two instances of a service use it: each reads one fixed partition, and Spring
 * asks for its replies there. Each asks COUNT questions, side by side. Prints a line a reply, "TEMPLATE JOB REPLY", and in the end how many
 * records each partition's container was given that nobody had asked for: "TEMPLATE strays N".
 *
 * Arguments: BOOTSTRAP JOBS_TOPIC REPLY_TOPIC COUNT SECONDS
 */
public class Templates {
    static final class Counting extends ReplyingKafkaTemplate<String, String, String> {
        int strays;

        Counting(DefaultKafkaProducerFactory<String, String> producers, KafkaMessageListenerContainer<String, String> replies) {
            super(producers, replies);
        }

        @Override
        protected void logLateArrival(org.apache.kafka.clients.consumer.ConsumerRecord<String, String> record, Object correlation) {
            strays++;
        }
    }

    static Counting template(String bootstrap, String topic, int partition, Duration limit) throws Exception {
        var consumers = new DefaultKafkaConsumerFactory<String, String>(Map.of("bootstrap.servers", bootstrap, "group.id", "spring-" + partition,
                "auto.offset.reset", "earliest"), new StringDeserializer(), new StringDeserializer());
        var producers = new DefaultKafkaProducerFactory<String, String>(Map.of("bootstrap.servers", bootstrap), new StringSerializer(), new StringSerializer());
        var container = new KafkaMessageListenerContainer<>(consumers, new ContainerProperties(new TopicPartitionOffset(topic, partition)));
        var template = new Counting(producers, container);
        template.setDefaultReplyTimeout(limit);
        template.start();
        if (!template.waitForAssignment(limit))
            throw new IllegalStateException("no assignment");
        return template;
    }

    public static void main(String[] arguments) throws Exception {
        String bootstrap = arguments[0], jobs = arguments[1], replies = arguments[2];
        int count = Integer.parseInt(arguments[3]);
        Duration limit = Duration.ofSeconds(Long.parseLong(arguments[4]));
        int[] partitions = {1, 3};
        var templates = new ArrayList<Counting>();
        var futures = new ArrayList<List<RequestReplyFuture<String, String, String>>>();
        for (int partition : partitions) {
            templates.add(template(bootstrap, replies, partition, limit));
            futures.add(new ArrayList<>());
        }
        for (int n = 0; n < count; n++)
            for (int t = 0; t < partitions.length; t++) {
                // The template sets kafka_correlationId, and from its container kafka_replyTopic and kafka_replyPartition.
                var record = new ProducerRecord<String, String>(jobs, "s" + n, "{\"id\":\"t" + t + "-" + n + "\",\"message\":\"hi\"}");
                futures.get(t).add(templates.get(t).sendAndReceive(record));
            }
        for (int t = 0; t < partitions.length; t++)
            for (int n = 0; n < count; n++)
                System.out.println(t + " t" + t + "-" + n + " " + futures.get(t).get(n).get(limit.toSeconds(), TimeUnit.SECONDS).value());
        for (int t = 0; t < partitions.length; t++) {
            System.out.println(t + " strays " + templates.get(t).strays);
            templates.get(t).stop();
        }
        System.exit(0);
    }
}
