#!/usr/bin/env bash
# A real Apache Kafka 4.3.1 for tests: one broker and controller in KRaft mode, on loopback, without Docker.
#
#   tests/kafka.sh install          fetches it once through Maven into .cache/kafka-4.3.1
#   tests/kafka.sh run PORT DIR     runs a broker at 127.0.0.1:PORT with its data in DIR, until stdin closes
#
# Needs java 17 and mvn.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
version=4.3.1
cache="$root/.cache/kafka-$version"

install() {
  [ -f "$cache/complete" ] && return
  command -v mvn >/dev/null || { echo "kafka: mvn is missing; scripts/setup installs it" >&2; exit 1; }
  command -v java >/dev/null || { echo "kafka: java is missing; Kafka needs Java 17" >&2; exit 1; }
  mkdir -p "$cache"
  echo "kafka: fetching Apache Kafka $version"
  # slf4j-simple first, so that its binding wins.
  cat >"$cache/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$version</version></dependency>
  </dependencies>
</project>
POM
  mvn -q -B -f "$cache/pom.xml" dependency:copy-dependencies -DoutputDirectory="$cache/libs" -DincludeScope=runtime
  touch "$cache/complete"
}

run() {
  local port=$1 dir=$2
  install
  local controller=$((port + 1))
  mkdir -p "$dir"
  cat >"$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/logs
auto.create.topics.enable=false
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
PROPERTIES
  local class=kafka.tools.StorageTool
  java -cp "$cache/libs/*" "$class" --help >/dev/null 2>&1 || class=org.apache.kafka.tools.StorageTool
  if [ ! -f "$dir/logs/meta.properties" ]; then
    # One word: an id may begin with a dash.
    local id
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=')
    java -cp "$cache/libs/*" "$class" format --standalone "--cluster-id=$id" \
      -c "$dir/server.properties" >"$dir/format.log" 2>&1 || { cat "$dir/format.log" >&2; exit 1; }
  fi
  # Where the system can, the broker also ends when this script is killed.
  local tied=()
  if setpriv --pdeathsig KILL true 2>/dev/null; then tied=(setpriv --pdeathsig KILL); fi
  "${tied[@]}" java -Xmx512m -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$cache/libs/*" kafka.Kafka "$dir/server.properties" \
    >"$dir/broker.log" 2>&1 &
  broker=$!
  trap 'kill -9 "$broker" 2>/dev/null || true' EXIT
  # Until whoever started us closes our input, in whatever way it ends, or the broker ends.
  cat <&0 >/dev/null &
  wait -n "$broker" $! || true
  kill -0 "$broker" 2>/dev/null || { echo "kafka: the broker has ended:" >&2; tail -n 20 "$dir/broker.log" >&2; exit 1; }
}

case "${1:-}" in
  install) install ;;
  run) run "$2" "$3" ;;
  *) sed -n '2,8p' "$0" >&2; exit 2 ;;
esac
