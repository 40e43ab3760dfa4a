// The connection with a socket and timers in the hands of the test.
import { describe, expect, test } from 'vitest';
import { BACKOFF_FIRST_MS, BACKOFF_LONGEST_MS, Connection, type Phase, PRIMING_MS, SILENCE_MS, type SocketLike } from '../src/live/connection';
import type { Row, ViewSpec } from '../src/live/types';

const SPECS: ViewSpec[] = [{ name: 'v', key: 1, columns: [{ name: 'id' }, { name: 'n' }] }];
const SUBSCRIPTIONS = [{ id: 'a', view: 'v' }, { id: 'b', view: 'v', where: { n: '1' }, columns: ['id', 'n'] }];

class FakeSocket implements SocketLike {
  sent: Record<string, unknown>[] = [];
  closed = false;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  onerror: (() => void) | null = null;
  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }
  close(): void {
    this.closed = true;
  }
  say(...messages: unknown[]): void {
    for (const message of messages) this.onmessage?.({ data: JSON.stringify(message) });
  }
}

function setup(specs: () => Promise<ViewSpec[]> = () => Promise.resolve(SPECS)) {
  const sockets: FakeSocket[] = [];
  const phases: Phase[] = [];
  const ticks: (number | null)[] = [];
  const problems: string[] = [];
  let now = 0;
  let timers: { at: number; task: () => void }[] = [];
  const connection = new Connection(SUBSCRIPTIONS, {
    open: () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket;
    },
    specs,
    after: (ms, task) => {
      const timer = { at: now + ms, task };
      timers.push(timer);
      return () => {
        timers = timers.filter((other) => other !== timer);
      };
    },
    random: () => 1,
  }, {
    phase: (phase) => phases.push(phase),
    committed: (store) => ticks.push(store.tick),
    problem: (text) => problems.push(text),
  });
  const pass = (ms: number) => {
    const end = now + ms;
    for (;;) {
      const due = timers.filter((timer) => timer.at <= end).sort((x, y) => x.at - y.at)[0];
      if (!due) break;
      timers = timers.filter((timer) => timer !== due);
      now = due.at;
      due.task();
    }
    now = end;
  };
  const rows = (id: string): Row[] => [...(connection.store?.table(id)?.rows.values() ?? [])];
  return { connection, sockets, phases, ticks, problems, pass, rows, last: () => sockets.at(-1) as FakeSocket };
}

const settle = async () => {
  await Promise.resolve();
  await Promise.resolve();
};

async function live() {
  const world = setup();
  world.connection.start();
  await settle();
  const socket = world.last();
  socket.onopen?.();
  socket.say(
    { type: 'snapshot', id: 'a', tick: 10, rows: [{ id: 'x', n: 1 }] }, { type: 'frame', tick: 10 },
    { type: 'update', id: 'a', lower: 11, upper: 13, upserts: [{ id: 'x', n: 2 }], deletes: [] }, { type: 'frame', tick: 12 },
    { type: 'snapshot', id: 'b', tick: 12, rows: [] }, { type: 'frame', tick: 12 },
  );
  return world;
}

describe('connection', () => {
  test('nothing is committed until every subscription is answered', async () => {
    const world = await live();
    expect(world.connection.phase).toBe('priming');
    expect(world.ticks).toEqual([]);
    expect(world.rows('a')).toEqual([]);
    world.last().say({ type: 'pong' });
    expect(world.connection.phase).toBe('live');
    expect(world.ticks).toEqual([12]);
    expect(world.rows('a')).toEqual([{ id: 'x', n: 2 }]);
    expect(world.phases).toEqual(['preparing', 'connecting', 'priming', 'live']);
  });

  test('the first subscription asks for no since, and sends what it was given', async () => {
    const world = await live();
    expect(world.sockets[0]!.sent).toEqual([
      { type: 'subscribe', id: 'a', view: 'v' },
      { type: 'subscribe', id: 'b', view: 'v', where: { n: '1' }, columns: ['id', 'n'] },
      { type: 'ping' },
    ]);
  });

  test('live changes show with their frame and not before', async () => {
    const world = await live();
    world.last().say({ type: 'pong' }, { type: 'update', id: 'a', lower: 13, upper: 14, upserts: [{ id: 'y', n: 5 }], deletes: [['x']] });
    expect(world.rows('a')).toEqual([{ id: 'x', n: 2 }]);
    world.last().say({ type: 'frame', tick: 13 });
    expect(world.rows('a')).toEqual([{ id: 'y', n: 5 }]);
    expect(world.ticks).toEqual([12, 13]);
  });

  test('after a break it resumes with since, keeps the old picture, and drops half a frame', async () => {
    const world = await live();
    world.last().say({ type: 'pong' }, { type: 'update', id: 'a', lower: 13, upper: 14, upserts: [{ id: 'z', n: 9 }], deletes: [] });
    world.last().onclose?.({ code: 1006 });
    expect(world.connection.phase).toBe('waiting');
    expect(world.rows('a')).toEqual([{ id: 'x', n: 2 }]);
    world.pass(BACKOFF_FIRST_MS);
    expect(world.sockets).toHaveLength(2);
    world.last().onopen?.();
    expect(world.last().sent[0]).toEqual({ type: 'subscribe', id: 'a', view: 'v', since: 12 });
    // Nothing has changed in `b`: the engine answers with the frame alone.
    world.last().say({ type: 'update', id: 'a', lower: 13, upper: 21, upserts: [{ id: 'z', n: 10 }], deletes: [] }, { type: 'frame', tick: 20 }, { type: 'frame', tick: 20 });
    expect(world.rows('a')).toEqual([{ id: 'x', n: 2 }]);
    world.last().say({ type: 'pong' });
    expect(world.rows('a')).toEqual([{ id: 'x', n: 2 }, { id: 'z', n: 10 }]);
    expect(world.ticks).toEqual([12, 20]);
  });

  test('when since is no longer held the snapshot replaces everything', async () => {
    const world = await live();
    world.last().say({ type: 'pong' });
    world.last().onclose?.({ code: 4001 });
    world.pass(BACKOFF_FIRST_MS);
    world.last().onopen?.();
    world.last().say(
      { type: 'snapshot', id: 'a', tick: 5, rows: [{ id: 'q', n: 1 }] }, { type: 'frame', tick: 5 },
      { type: 'snapshot', id: 'b', tick: 5, rows: [] }, { type: 'frame', tick: 5 }, { type: 'pong' },
    );
    expect(world.connection.phase).toBe('live');
    expect(world.rows('a')).toEqual([{ id: 'q', n: 1 }]);
    expect(world.ticks).toEqual([12, 5]);
  });

  test('a gap starts over from snapshots', async () => {
    const world = await live();
    world.last().say({ type: 'pong' }, { type: 'update', id: 'a', lower: 15, upper: 16, upserts: [], deletes: [] });
    expect(world.problems[0]).toMatch(/gap/);
    expect(world.last().closed).toBe(true);
    world.pass(BACKOFF_FIRST_MS);
    world.last().onopen?.();
    expect(world.last().sent[0]).not.toHaveProperty('since');
  });

  test('time that runs back without snapshots starts over', async () => {
    const world = await live();
    world.last().say({ type: 'pong' }, { type: 'frame', tick: 11 });
    expect(world.problems[0]).toMatch(/runs back/);
    expect(world.connection.phase).toBe('waiting');
    expect(world.connection.store?.tick).toBe(12);
  });

  test('pauses double up to a bound and start anew after success', async () => {
    const world = await live();
    world.last().say({ type: 'pong' });
    let pause = BACKOFF_FIRST_MS;
    for (let i = 0; i < 9; i++) {
      const before = world.sockets.length;
      world.last().onclose?.({ code: 1006 });
      world.pass(pause - 1);
      expect(world.sockets).toHaveLength(before);
      world.pass(1);
      expect(world.sockets).toHaveLength(before + 1);
      pause = Math.min(BACKOFF_LONGEST_MS, pause * 2);
    }
    world.last().onopen?.();
    world.last().say({ type: 'frame', tick: 30 }, { type: 'pong' });
    world.last().onclose?.({ code: 1006 });
    const before = world.sockets.length;
    world.pass(BACKOFF_FIRST_MS);
    expect(world.sockets).toHaveLength(before + 1);
  });

  test('a silent socket is given up, a talking one is not', async () => {
    const world = await live();
    world.last().say({ type: 'pong' });
    for (let tick = 13; tick < 16; tick++) {
      world.pass(SILENCE_MS - 1);
      world.last().say({ type: 'frame', tick });
    }
    expect(world.connection.phase).toBe('live');
    world.pass(SILENCE_MS);
    expect(world.connection.phase).not.toBe('live');
    expect(world.sockets[0]!.closed).toBe(true);
  });

  test('a socket that never opens is given up', async () => {
    const world = setup();
    world.connection.start();
    await settle();
    world.pass(PRIMING_MS + BACKOFF_FIRST_MS);
    expect(world.sockets).toHaveLength(2);
  });

  test('it asks again for the keys until it has them', async () => {
    let fail = true;
    const world = setup(() => (fail ? Promise.reject(new Error('503')) : Promise.resolve(SPECS)));
    world.connection.start();
    await settle();
    expect(world.connection.phase).toBe('waiting');
    fail = false;
    world.pass(BACKOFF_FIRST_MS);
    await settle();
    expect(world.connection.phase).toBe('connecting');
  });

  test('offline looks disconnected at once, online comes back at once', async () => {
    const world = await live();
    world.last().say({ type: 'pong' });
    world.connection.suspend();
    expect(world.connection.phase).toBe('waiting');
    world.pass(60_000);
    expect(world.sockets).toHaveLength(1);
    world.connection.wake();
    expect(world.sockets).toHaveLength(2);
  });

  test('what is asked for may change: the rest keeps its rows, the new comes with its frame', async () => {
    const world = await live();
    world.last().say({ type: 'pong' });
    world.connection.change([SUBSCRIPTIONS[0]!, { id: 'c', view: 'v', where: { n: '7' } }, { id: 'd', view: 'absent' }]);
    expect(world.last().sent.slice(3)).toEqual([{ type: 'unsubscribe', id: 'b' }, { type: 'subscribe', id: 'c', view: 'v', where: { n: '7' } }]);
    // What was still on its way for the old one is dropped.
    world.last().say({ type: 'update', id: 'b', lower: 13, upper: 14, upserts: [{ id: 'late', n: 1 }], deletes: [] }, { type: 'snapshot', id: 'c', tick: 13, rows: [{ id: 'z', n: 7 }] });
    expect(world.rows('c')).toEqual([]);
    world.last().say({ type: 'frame', tick: 13 });
    expect([world.rows('a'), world.rows('b'), world.rows('c')]).toEqual([[{ id: 'x', n: 2 }], [], [{ id: 'z', n: 7 }]]);
    world.connection.change(SUBSCRIPTIONS);
    expect(world.last().sent.slice(5)).toEqual([{ type: 'unsubscribe', id: 'c' }, { type: 'subscribe', id: 'b', view: 'v', where: { n: '1' }, columns: ['id', 'n'] }]);
  });

  test('what was asked for while disconnected gets a snapshot, the rest resumes', async () => {
    const world = await live();
    world.last().say({ type: 'pong' });
    world.last().onclose?.({ code: 1006 });
    world.connection.change([SUBSCRIPTIONS[0]!, { id: 'c', view: 'v' }]);
    world.pass(BACKOFF_FIRST_MS);
    world.last().onopen?.();
    expect(world.last().sent).toEqual([{ type: 'subscribe', id: 'a', view: 'v', since: 12 }, { type: 'subscribe', id: 'c', view: 'v' }, { type: 'ping' }]);
  });

  test('columns that the engine does not have are not asked for', async () => {
    const world = await live();
    world.last().say({ type: 'pong' });
    world.connection.change([{ id: 'e', view: 'v', columns: ['id', 'later'] }]);
    expect(world.last().sent.at(-1)).toEqual({ type: 'subscribe', id: 'e', view: 'v', columns: ['id'] });
  });
});
