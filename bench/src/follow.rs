//! Those who wait for probes: WebSocket clients, and queries to ClickHouse.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use model::{Error, Result};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::clickhouse::Client;
use crate::latency::Recorder;
use crate::load::{FIRST, PROBE, VICTIM};
use crate::scenario::Probe;

/// The live protocol.
const PROTOCOL: &str = "chengmai.v1.json";
/// The subscription in which probes are looked for.
const WINDOWS: &str = "sensor_windows";
/// The id of a message is within so many bytes.
const HEAD: usize = 64;
/// Distance between queries.
const QUERY_EVERY: Duration = Duration::from_millis(10);

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// Connects and subscribes: to these views in full, or to the probe's windows alone.
///
/// # Errors
/// When it cannot.
pub async fn connect(address: &str, views: Option<&[String]>, probe: Probe) -> Result<Socket> {
    let kind = if probe == Probe::Reading { PROBE } else { VICTIM.1 };
    type Ws = tokio_tungstenite::tungstenite::Error;
    let failed = |e: Ws| Error::external("the live protocol cannot be had").caused_by(e);
    let url = format!("{}api/v1/live", address.replacen("http", "ws", 1));
    let mut request = url.into_client_request().map_err(failed)?;
    let protocol = PROTOCOL.parse().map_err(|_| Error::internal("the protocol's name is no header value"))?;
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.map_err(failed)?;
    let subscriptions = match views {
        None => vec![json!({"type": "subscribe", "id": WINDOWS, "view": WINDOWS, "where": {"kind": kind}})],
        Some(views) => {
            views.iter().map(|view| json!({"type": "subscribe", "id": view, "view": view})).collect()
        }
    };
    for subscription in subscriptions {
        socket.send(Message::Text(subscription.to_string().into())).await.map_err(failed)?;
    }
    Ok(socket)
}

/// Reads what comes until it is told to stop, and records the probes: at the frame that completes them.
///
/// # Errors
/// When the connection breaks or the engine answers with an error.
pub async fn follow(
    mut socket: Socket,
    stage: &'static str,
    recorder: Arc<Mutex<Recorder>>,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let mut last: Option<usize> = None;
    loop {
        let message = tokio::select! {
            message = socket.next() => message,
            // An error is a sender that is gone: the same.
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        let at = Instant::now();
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(_)) => continue,
            Some(Err(e)) => {
                return Err(Error::external(format!("{stage}: the connection broke")).caused_by(e));
            }
            None => return Err(Error::external(format!("{stage}: the connection was closed"))),
        };
        let text = text.as_str();
        if text.starts_with("{\"type\":\"frame\"") {
            if let Some(last) = last.take() {
                recorder.lock().seen(stage, last, at);
            }
        } else if text.starts_with("{\"type\":\"error\"") {
            return Err(Error::external(format!("{stage}: {text}")));
        } else {
            last = last.max(greatest_probe(text));
        }
    }
}

/// The greatest probe in a message of `sensor_windows`: by the greatest value of a window, or by its district.
fn greatest_probe(text: &str) -> Option<usize> {
    // The id comes early; other views' messages need no second look.
    let head = text.get(..HEAD.min(text.len())).unwrap_or(text);
    let message: Json = head.contains(WINDOWS).then(|| serde_json::from_str(text).ok())??;
    let rows = message.get("upserts").or_else(|| message.get("rows"))?.as_array()?;
    let probe = |row: &Json| {
        let moved = row["district"]
            .as_str()
            .and_then(|district| district.strip_prefix(PROBE)?.strip_prefix('-')?.parse().ok());
        moved.or_else(|| (row["max"].as_f64()? as usize).checked_sub(FIRST))
    };
    rows.iter().filter_map(probe).max()
}

/// Asks ClickHouse for the greatest probe until it is told to stop.
///
/// # Errors
/// When a query fails.
pub async fn query(
    client: Client,
    recorder: Arc<Mutex<Recorder>>,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    // NULL, and so no number, as long as there is no row; the same while there is no table yet.
    let sql =
        format!("SELECT maxOrNull(max) - {FIRST} FROM chengmai.sensor_windows_changes WHERE max >= {FIRST}");
    loop {
        let text = client.query(&sql).await?;
        let at = Instant::now();
        if let Ok(greatest) = text.trim().parse::<f64>() {
            recorder.lock().seen("clickhouse", greatest as usize, at);
        }
        tokio::select! {
            () = tokio::time::sleep(QUERY_EVERY) => {}
            // An error is a sender that is gone: the same.
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::greatest_probe;

    #[test]
    fn the_greatest_probe_of_a_message_is_found() {
        let rows =
            r#"[{"kind":"probe","max":1003.0},{"kind":"probe","max":1007.0},{"kind":"dust","max":90.0}]"#;
        let update = |id: &str, rows: &str| {
            format!(r#"{{"type":"update","id":"{id}","lower":1,"upper":2,"upserts":{rows},"deletes":[]}}"#)
        };
        assert_eq!(greatest_probe(&update("sensor_windows", rows)), Some(7));
        assert_eq!(greatest_probe(&update("sensors", rows)), None);
        assert_eq!(
            greatest_probe(&format!(r#"{{"type":"snapshot","id":"sensor_windows","rows":{rows}}}"#)),
            Some(7)
        );
        let moved = r#"[{"kind":"dust","district":"probe-12","max":3.0},{"kind":"dust","district":"610601","max":3.0}]"#;
        assert_eq!(greatest_probe(&update("sensor_windows", moved)), Some(12));
        assert_eq!(greatest_probe("{"), None);
    }
}
