import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BiConsumer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.Stores;

/** Three of the five questions in Kafka Streams: swept lengths, cases, windows. What was tuned: ../README.md. */
public final class City5Streams {
    static final ObjectMapper JSON = new ObjectMapper();
    static final AtomicLong SEEN = new AtomicLong();
    static Workload workload;

    /** A processor that parses its records and updates its stores. */
    static final class Each implements Processor<String, byte[], Void, Void> {
        private final BiConsumer<JsonNode, ProcessorContext<Void, Void>> update;
        private ProcessorContext<Void, Void> context;

        Each(BiConsumer<JsonNode, ProcessorContext<Void, Void>> update) {
            this.update = update;
        }

        @Override
        public void init(ProcessorContext<Void, Void> context) {
            this.context = context;
        }

        @Override
        public void process(Record<String, byte[]> record) {
            try {
                update.accept(JSON.readTree(record.value()), context);
            } catch (java.io.IOException e) {
                throw new IllegalStateException(e);
            }
            SEEN.incrementAndGet();
        }
    }

    static void reading(JsonNode r, ProcessorContext<Void, Void> context) {
        KeyValueStore<String, Long> readings = context.getStateStore("readings");
        String sensor = r.get("sensor_id").asText();
        long ts = r.get("ts").asLong(), tenths = Math.round(r.get("value").asDouble() * 10);
        if (readings.putIfAbsent(sensor + "@" + ts, tenths) != null) {
            return;
        }
        KeyValueStore<String, String> windows = context.getStateStore("windows");
        long step = workload.number("step_ms");
        String group = workload.kindOf.get(sensor) + "," + workload.districtOf.get(sensor) + ",";
        for (long start = Math.floorDiv(ts, step) * step; start > ts - workload.number("window_ms"); start -= step) {
            String old = windows.get(group + start);
            int comma = old == null ? -1 : old.indexOf(',');
            long count = old == null ? 0 : Long.parseLong(old.substring(0, comma));
            long sum = old == null ? 0 : Long.parseLong(old.substring(comma + 1));
            windows.put(group + start, (count + 1) + "," + (sum + tenths));
        }
    }

    static void position(JsonNode r, ProcessorContext<Void, Void> context) {
        if (!r.get("working").asBoolean()) {
            return;
        }
        String road = workload.geo.nearest(r.get("lon").asDouble(), r.get("lat").asDouble(), workload.number("reach_mm"));
        if (road == null) {
            return;
        }
        KeyValueStore<String, Long> visits = context.getStateStore("visits");
        long hour = Math.floorDiv(r.get("ts").asLong(), 3_600_000L) * 3_600_000L;
        if (visits.putIfAbsent(road + "@" + hour, 1L) == null) {
            KeyValueStore<String, String> swept = context.getStateStore("swept");
            String key = workload.districtOf.get(road) + "," + hour, old = swept.get(key);
            long mm = old == null ? 0 : Long.parseLong(old.split(",")[0]), n = old == null ? 0 : Long.parseLong(old.split(",")[1]);
            swept.put(key, (mm + workload.lengthOf.get(road)) + "," + (n + 1));
        }
    }

    /** district,deadline,handled,closed of a case. */
    static void event(JsonNode r, ProcessorContext<Void, Void> context) {
        KeyValueStore<String, String> cases = context.getStateStore("cases");
        String id = r.get("case_id").asText(), old = cases.get(id);
        String[] c = old == null ? new String[] {"unknown", "0", "0", "0"} : old.split(",");
        long ts = r.get("ts").asLong();
        switch (r.get("event").asText()) {
            case "reported" -> c[0] = r.get("district").asText();
            case "dispatched" -> c[1] = String.valueOf(ts + Math.round(r.get("limit").get("amount").asDouble() * 3_600_000));
            case "handled" -> c[2] = String.valueOf(ts);
            case "closed" -> c[3] = "1";
            default -> { }
        }
        cases.put(id, String.join(",", c));
    }

    static void add(Topology topology, String stream, BiConsumer<JsonNode, ProcessorContext<Void, Void>> update, String... stores) {
        topology.addSource(stream, Serdes.String().deserializer(), Serdes.ByteArray().deserializer(), "city5." + stream);
        topology.addProcessor(stream + "-views", () -> new Each(update), stream);
        for (String store : stores) {
            boolean number = store.equals("readings") || store.equals("visits");
            topology.addStateStore(Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(store), Serdes.String(),
                number ? (org.apache.kafka.common.serialization.Serde<Object>) (Object) Serdes.Long()
                    : (org.apache.kafka.common.serialization.Serde<Object>) (Object) Serdes.String())
                .withLoggingDisabled().withCachingDisabled(), stream + "-views");
        }
    }

    public static void main(String[] args) throws Exception {
        Path input = Path.of(args[0]), output = Path.of(args[1]);
        workload = new Workload(input);
        Topology topology = new Topology();
        add(topology, "telemetry", City5Streams::reading, "readings", "windows");
        add(topology, "positions", City5Streams::position, "visits", "swept");
        add(topology, "cases", City5Streams::event, "cases");
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "city5");
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[3]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, args[4]);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put("auto.offset.reset", "earliest");
        settings.put("max.poll.records", 5000);
        settings.put("fetch.min.bytes", 1 << 20);
        settings.put("max.partition.fetch.bytes", 8 << 20);
        settings.put("buffered.records.per.partition", 20000);
        settings.put("max.task.idle.ms", 0);
        settings.put("commit.interval.ms", 5000);
        KafkaStreams streams = new KafkaStreams(topology, settings);
        streams.start();
        while (SEEN.get() < workload.number("records")) {
            if (streams.state() == KafkaStreams.State.ERROR) {
                throw new IllegalStateException("the topology failed");
            }
            Thread.sleep(20);
        }
        List<String> windows = new ArrayList<>(), swept = new ArrayList<>(), cases = new ArrayList<>();
        all(streams, "windows", (key, value) -> windows.add(key + "," + value));
        all(streams, "swept", (key, value) -> swept.add(key + "," + value));
        Map<String, long[]> counts = new TreeMap<>();
        long until = workload.number("until_ms");
        all(streams, "cases", (key, value) -> {
            String[] c = value.split(",");
            long deadline = Long.parseLong(c[1]), handled = Long.parseLong(c[2]);
            long[] count = counts.computeIfAbsent(c[0], district -> new long[2]);
            if (c[3].equals("0")) {
                count[0]++;
                count[1] += deadline > 0 && handled == 0 && until > deadline ? 1 : 0;
            }
        });
        counts.forEach((district, count) -> cases.add(district + "," + count[0] + "," + count[1]));
        Workload.answer(output, "windows", "kind,district,start_ms,count,sum_tenths", windows);
        Workload.answer(output, "swept", "district,hour_ms,swept_mm,segments", swept);
        Workload.answer(output, "cases", "district,open,overdue", cases);
        workload.done(args[2], "null");
        Runtime.getRuntime().halt(0);
    }

    static void all(KafkaStreams streams, String store, BiConsumer<String, String> take) {
        var view = streams.store(StoreQueryParameters.fromNameAndType(store, QueryableStoreTypes.<String, String>keyValueStore()));
        try (var rows = view.all()) {
            rows.forEachRemaining(row -> take.accept(row.key, row.value));
        }
    }
}
