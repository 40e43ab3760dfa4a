import java.io.BufferedReader;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.HashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Reference data and numbers of a workload for contestants on the JVM, and what a run has cost. */
public final class Workload {
    private static final Pattern FIELD = Pattern.compile("\"([a-z_]+)\":\\s*(\"([^\"]*)\"|-?[0-9.]+)");
    private static final Pattern LINE = Pattern.compile("\\[\\[([-0-9.e]+),([-0-9.e]+)\\],\\[([-0-9.e]+),([-0-9.e]+)\\]\\]");

    public final Geo geo = new Geo();
    public final Map<String, String> kindOf = new HashMap<>();
    public final Map<String, String> districtOf = new HashMap<>();
    public final Map<String, Long> lengthOf = new HashMap<>();
    private final Map<String, Long> numbers = new HashMap<>();
    public final long records;

    public Workload(Path input) throws IOException {
        long lines = 0;
        for (String text : Files.readAllLines(input.resolve("manifest.json"))) {
            fields(text).forEach((name, value) -> {
                if (value.matches("-?[0-9]+")) {
                    numbers.put(name, Long.valueOf(value));
                }
            });
        }
        try (BufferedReader reader = Files.newBufferedReader(input.resolve("reference.ndjson"))) {
            for (String text = reader.readLine(); text != null; text = reader.readLine()) {
                Map<String, String> record = fields(text);
                String id = record.get("id");
                if ("sensor".equals(record.get("kind"))) {
                    kindOf.put(id, record.get("sensor_kind"));
                    districtOf.put(id, record.get("district"));
                } else if ("road".equals(record.get("kind"))) {
                    Matcher line = LINE.matcher(text);
                    if (line.find()) {
                        double[] ends = new double[4];
                        for (int i = 0; i < 4; i++) {
                            ends[i] = Double.parseDouble(line.group(i + 1));
                        }
                        lengthOf.put(id, geo.add(id, ends[0], ends[1], ends[2], ends[3]));
                        districtOf.put(id, record.get("district"));
                    }
                }
                lines++;
            }
        }
        // The first `records` of the manifest is that of the mix, the same as that of the streams.
        records = lines + number("records");
    }

    private static Map<String, String> fields(String text) {
        Map<String, String> fields = new HashMap<>();
        Matcher matcher = FIELD.matcher(text);
        while (matcher.find()) {
            fields.put(matcher.group(1), matcher.group(3) != null ? matcher.group(3) : matcher.group(2));
        }
        return fields;
    }

    public long number(String name) {
        return numbers.get(name);
    }

    /** Writes an answer. */
    public static void answer(Path output, String name, String header, Collection<String> lines) throws IOException {
        StringBuilder text = new StringBuilder(header).append('\n');
        lines.forEach(line -> text.append(line).append('\n'));
        Files.writeString(output.resolve(name + ".csv"), text, StandardCharsets.UTF_8);
    }

    /** The line of JSON that a contestant ends with; the time since the JVM was started, its CPU and its memory. */
    public void done(String version, String notes) throws IOException {
        var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        double seconds = (System.currentTimeMillis() - ManagementFactory.getRuntimeMXBean().getStartTime()) / 1000.0;
        long peak = 0;
        for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
            if (line.startsWith("VmHWM:")) {
                peak = Long.parseLong(line.replaceAll("[^0-9]", "")) * 1024;
            }
        }
        System.out.printf("{\"version\":\"%s\",\"records\":%d,\"seconds\":%.3f,\"cpu_seconds\":%.3f,\"peak_rss_bytes\":%d,\"notes\":%s}%n",
            version, records, seconds, system.getProcessCpuTime() / 1e9, peak, notes);
    }
}
