import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The roads of the workload in a grid, and the nearest one to a fix: by the definition in bench/README.md. */
public final class Geo {
    private static final double METRES_PER_UNIT = 6_371_008.8 * Math.PI / 180 / 1e7;
    private static final long CELL = 10_000;

    private record Segment(String id, long lon1, long lat1, long lon2, long lat2) {}

    private final Map<Long, List<Segment>> cells = new HashMap<>();

    private static long key(long x, long y) {
        return x << 32 ^ (y & 0xffff_ffffL);
    }

    /** Adds a road and returns its length in mm. */
    public long add(String id, double lonA, double latA, double lonB, double latB) {
        Segment s = new Segment(id, Math.round(lonA * 1e7), Math.round(latA * 1e7), Math.round(lonB * 1e7), Math.round(latB * 1e7));
        long west = Math.floorDiv(Math.min(s.lon1, s.lon2) - CELL / 2, CELL), east = Math.floorDiv(Math.max(s.lon1, s.lon2) + CELL / 2, CELL);
        long south = Math.floorDiv(Math.min(s.lat1, s.lat2) - CELL / 2, CELL), north = Math.floorDiv(Math.max(s.lat1, s.lat2) + CELL / 2, CELL);
        for (long x = west; x <= east; x++) {
            for (long y = south; y <= north; y++) {
                cells.computeIfAbsent(key(x, y), k -> new ArrayList<>()).add(s);
            }
        }
        double dx = (s.lon2 - s.lon1) * Math.cos(Math.toRadians((s.lat1 + s.lat2) / 2.0 / 1e7)) * METRES_PER_UNIT;
        double dy = (s.lat2 - s.lat1) * METRES_PER_UNIT;
        return Math.round(Math.sqrt(dx * dx + dy * dy) * 1000);
    }

    /** The nearest road at most so many mm away, or null; of equally near ones the smaller name. */
    public String nearest(double lonDegrees, double latDegrees, long reachMm) {
        long lon = Math.round(lonDegrees * 1e7), lat = Math.round(latDegrees * 1e7);
        List<Segment> near = cells.get(key(Math.floorDiv(lon, CELL), Math.floorDiv(lat, CELL)));
        if (near == null) {
            return null;
        }
        double k = METRES_PER_UNIT, east = Math.cos(Math.toRadians(lat / 1e7)) * k;
        long best = Long.MAX_VALUE;
        String name = null;
        for (Segment s : near) {
            double x1 = (s.lon1 - lon) * east, y1 = (s.lat1 - lat) * k, x2 = (s.lon2 - lon) * east, y2 = (s.lat2 - lat) * k;
            double dx = x2 - x1, dy = y2 - y1;
            double t = Math.max(0, Math.min(1, -(x1 * dx + y1 * dy) / (dx * dx + dy * dy)));
            double x = x1 + t * dx, y = y1 + t * dy;
            long mm = Math.round(Math.sqrt(x * x + y * y) * 1000);
            if (mm < best || mm == best && s.id.compareTo(name) < 0) {
                best = mm;
                name = s.id;
            }
        }
        return best <= reachMm ? name : null;
    }
}
