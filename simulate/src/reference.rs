//! The reference records of the city: what stands where, before anything happens.
//!
//! Made from the city when asked for, in the order in which a reader understands them: units, departments, fleets and
//! shifts, roads, grids, places, sensors, vehicles. Nothing is kept.

use serde_json::{Value, json};

use crate::cases::{CLASSES, DEPARTMENTS};
use crate::city::Land;
use crate::geo::{Plane, Xy};
use crate::places::square;
use crate::sensors::Sensor;
use crate::vehicles::{FLEETS, SHIFTS, Vehicle};

/// Half the side of a depot's fence, m.
const DEPOT_M: f64 = 60.0;

fn entry(kind: &str, id: &str, mut fields: Value) -> (String, String) {
    let mut record = json!({"kind": kind, "id": id});
    if let (Some(record), Some(fields)) = (record.as_object_mut(), fields.as_object_mut()) {
        record.append(fields);
    }
    (format!("{kind}/{id}"), record.to_string())
}

fn polygon(plane: &Plane, ring: &[Xy]) -> Value {
    json!({"type": "Polygon", "coordinates": [ring.iter().map(|p| plane.rounded(*p)).collect::<Vec<_>>()]})
}

/// All records in order: key `kind/id`, and the record.
pub(crate) fn records<'a>(
    land: &'a Land,
    sensors: &'a [Sensor],
    vehicles: &'a [Vehicle],
) -> impl Iterator<Item = (String, String)> + 'a {
    let adcode = |unit: u16| land.units[unit as usize].adcode.as_str();
    let plane = |unit: u16| &land.units[unit as usize].plane;
    let capital = land.units.iter().find(|unit| unit.capital).map_or("", |unit| unit.adcode.as_str());

    let units = land.units.iter().map(|unit| {
        let mut fields = json!({"name": unit.name, "area_km2": unit.area_km2, "geometry": unit.geometry});
        if let Some(people) = unit.population {
            fields["population"] = people.into();
        }
        entry("district", &unit.adcode, fields)
    });
    let departments = DEPARTMENTS
        .iter()
        .map(move |d| entry("department", d.id, json!({"name": d.zh, "district": capital})));
    let classes = CLASSES.iter().map(|class| {
        let limits = json!({"default": {"amount": class.amount, "unit": class.unit}});
        let department = DEPARTMENTS[class.department].id;
        entry("case_class", class.id, json!({"name": class.zh, "limits": limits, "department": department}))
    });
    let fleets = FLEETS
        .iter()
        .map(move |fleet| entry("fleet", fleet.id, json!({"name": fleet.zh, "district": capital})));
    let shifts = SHIFTS.iter().map(|shift| {
        let [start, end] = shift.hours.map(|hour| format!("{hour:02}:00"));
        let fleets: Vec<_> = FLEETS.iter().map(|fleet| fleet.id).collect();
        entry("shift", shift.id, json!({"name": shift.zh, "start": start, "end": end, "fleets": fleets}))
    });
    let roads = land.network.roads.iter().map(move |road| {
        let line: Vec<_> = road
            .nodes
            .iter()
            .map(|&node| plane(road.unit).rounded(land.network.nodes[node as usize].at))
            .collect();
        let plan: Vec<_> = SHIFTS
            .iter()
            .zip(road.class.passes)
            .filter(|(_, passes)| *passes > 0)
            .map(|(shift, passes)| json!({"shift": shift.id, "passes": passes}))
            .collect();
        entry(
            "road",
            &road.id,
            json!({
                "name": road.name, "district": adcode(road.unit), "grade": road.class.grade,
                "geometry": {"type": "LineString", "coordinates": line}, "width_m": road.class.width_m,
                "lanes": road.class.lanes, "oneway": road.oneway, "plan": plan, "schematic": true,
            }),
        )
    });
    // People walk along every road.
    let walkways = land.network.roads.iter().map(move |road| {
        let line: Vec<_> = road
            .nodes
            .iter()
            .map(|&node| plane(road.unit).rounded(land.network.nodes[node as usize].at))
            .collect();
        let geometry = json!({"type": "LineString", "coordinates": line});
        entry("walkway", &road.id, json!({"geometry": geometry, "status": "open", "schematic": true}))
    });
    let depots = land.network.depots.iter().map(move |&node| {
        let node = land.network.nodes[node as usize];
        let unit = &land.units[node.unit as usize];
        let corners = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0)];
        let ring = corners.map(|(x, y)| Xy::new(node.at.x + DEPOT_M * x, node.at.y + DEPOT_M * y));
        entry(
            "fence",
            &format!("depot-{}", unit.adcode),
            json!({"name": format!("{}环卫停车场", unit.name), "place": true, "geometry": polygon(&unit.plane, &ring)}),
        )
    });
    let grids = land.places.grids.iter().map(move |grid| {
        let geometry = polygon(plane(grid.unit), &square(grid.centre));
        entry("grid", &grid.code, json!({"district": adcode(grid.unit), "geometry": geometry}))
    });
    let parks = land.places.parks.iter().map(move |park| {
        let plane = plane(park.unit);
        let entrances: Vec<_> = park.entrances.iter().map(|p| plane.rounded(*p)).collect();
        entry(
            "park",
            &park.id,
            json!({
                "name": park.name, "district": adcode(park.unit), "class": park.class, "status": park.status,
                "area_m2": park.area_m2, "geometry": polygon(plane, &park.ring), "entrances": entrances,
                "historic": park.historic,
            }),
        )
    });
    let residences = land.places.residences.iter().map(move |home| {
        entry(
            "residence",
            &home.id,
            json!({
                "name": home.name, "district": adcode(home.unit), "population": home.population,
                "area_m2": home.area_m2, "geometry": polygon(plane(home.unit), &home.ring),
            }),
        )
    });
    let sensors = sensors.iter().map(move |sensor| {
        let [lon, lat] = plane(sensor.unit).rounded(sensor.at);
        entry(
            "sensor",
            &sensor.id,
            json!({
                "sensor_kind": sensor.kind.name, "district": adcode(sensor.unit), "name": sensor.name,
                "lon": lon, "lat": lat, "heartbeat_s": heartbeat_s(sensor.every_ms),
                "site": land.network.roads[sensor.road as usize].name, "gateway": sensor.gateway,
                "tags": [sensor.kind.zh],
            }),
        )
    });
    let vehicles = vehicles.iter().map(move |vehicle| {
        entry(
            "vehicle",
            &vehicle.id,
            json!({
                "plate": vehicle.plate, "fleet": vehicle.fleet.id, "district": adcode(vehicle.unit),
                "vehicle_kind": vehicle.kind.name, "swath_m": vehicle.kind.swath_m,
                "working_speed": vehicle.kind.working_speed,
            }),
        )
    });
    units
        .chain(departments)
        .chain(classes)
        .chain(fleets)
        .chain(shifts)
        .chain(roads)
        .chain(walkways)
        .chain(depots)
        .chain(grids)
        .chain(parks)
        .chain(residences)
        .chain(sensors)
        .chain(vehicles)
}

/// A heartbeat in seconds: whole where it is, so that the record reads well.
fn heartbeat_s(every_ms: i64) -> Value {
    if every_ms % 1000 == 0 { (every_ms / 1000).into() } else { (every_ms as f64 / 1000.0).into() }
}
