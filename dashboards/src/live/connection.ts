// The one connection of a screen: subscribe, commit frame by frame, resume where it broke off.
//
// idle → preparing (what are the keys?) → connecting → priming (until every subscription is answered) → live → waiting
// → connecting … The engine answers in order, so the `pong` to a `ping` sent after the last `subscribe` says that all
// are answered; the frame before it completes them. Until then nothing is committed: the old picture stays, dimmed.
// After a break the subscriptions ask for `since` = the last committed tick. Whatever does not fit together (a gap, a
// tick that runs back) starts over from snapshots. A socket that says nothing is closed: silence is not health.
//
// No framework, no globals: sockets and timers come from outside, so that a test drives them.

import { Store } from './store';
import type { ServerMessage, Subscription, ViewSpec } from './types';

export const PROTOCOL = 'chengmai.v1.json';
/** First pause before a new attempt, ms; doubles up to the longest one. */
export const BACKOFF_FIRST_MS = 500;
export const BACKOFF_LONGEST_MS = 15_000;
/** How often the connection asks whether the engine is there, ms. */
export const PING_EVERY_MS = 10_000;
/** A socket that has said nothing for this long is given up, ms. */
export const SILENCE_MS = 25_000;
/** From opening a socket to the first complete picture, ms. */
export const PRIMING_MS = 30_000;

export type Phase = 'idle' | 'preparing' | 'connecting' | 'priming' | 'live' | 'waiting';

/** The part of a WebSocket that is used. */
export interface SocketLike {
  send(text: string): void;
  close(code?: number): void;
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  onerror: (() => void) | null;
}

export interface Environment {
  open(): SocketLike;
  /** `GET /api/v1/views`. */
  specs(): Promise<ViewSpec[]>;
  /** Runs `task` after `ms`; returns what cancels it. */
  after(ms: number, task: () => void): () => void;
  /** 0 ≤ x < 1, for the jitter of the pauses. */
  random(): number;
}

export interface Listener {
  phase(phase: Phase): void;
  /** The store has moved to a new tick. */
  committed(store: Store): void;
  /** What the engine refused, or what did not fit. For the log of the page. */
  problem(text: string): void;
}

export class Connection {
  phase: Phase = 'idle';
  store: Store | null = null;
  private socket: SocketLike | null = null;
  private attempt = 0;
  /** Ask for `since`; false after something did not fit together. */
  private resumable = false;
  private lastFrame: number | null = null;
  private unanswered = new Set<string>();
  private timers: Record<string, () => void> = {};

  constructor(
    private subscriptions: readonly Subscription[],
    private readonly environment: Environment,
    private readonly listener: Listener,
  ) {}

  start(): void {
    if (this.phase === 'idle') this.prepare();
  }

  stop(): void {
    this.drop();
    this.enter('idle');
  }

  /** The machine has no network: look disconnected now, not when the socket notices. */
  suspend(): void {
    if (this.phase === 'idle') return;
    this.drop();
    this.enter('waiting');
  }

  /** The network is back: don't wait for the pause to end. */
  wake(): void {
    if (this.phase !== 'waiting') return;
    this.cancel();
    this.attempt = 0;
    this.next();
  }

  /**
   * Asks for these from now on, over the same socket. What stays keeps its rows; what is new has none until the first
   * frame after its snapshot. An id stands for one question: another `where` needs another id.
   */
  change(next: readonly Subscription[]): void {
    const [before, after] = [this.subscriptions, next].map((list) => new Set(list.map(({ id }) => id)));
    const gone = this.subscriptions.filter(({ id }) => !after?.has(id));
    const come = next.filter(({ id }) => !before?.has(id));
    this.subscriptions = next;
    const open = this.phase === 'live' || this.phase === 'priming';
    for (const { id } of gone) {
      if (open && this.store?.has(id)) this.socket?.send(JSON.stringify({ type: 'unsubscribe', id }));
      this.store?.remove(id);
      this.unanswered.delete(id);
    }
    for (const subscription of come) {
      this.store?.add(subscription);
      if (open) this.ask(subscription);
    }
  }

  private enter(phase: Phase): void {
    if (phase === this.phase) return;
    this.phase = phase;
    this.listener.phase(phase);
  }

  private timer(name: string, ms: number, task: () => void): void {
    this.timers[name]?.();
    this.timers[name] = this.environment.after(ms, task);
  }

  private cancel(): void {
    for (const cancel of Object.values(this.timers)) cancel();
    this.timers = {};
  }

  private drop(): void {
    this.cancel();
    const socket = this.socket;
    this.socket = null;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
      socket.close();
    }
    this.store?.discard();
  }

  private retry(): void {
    this.drop();
    this.enter('waiting');
    const pause = Math.min(BACKOFF_LONGEST_MS, BACKOFF_FIRST_MS * 2 ** this.attempt);
    this.attempt++;
    // Half of it is random, so that a hundred walls don't come back in the same instant.
    this.timer('retry', pause * (0.5 + 0.5 * this.environment.random()), () => this.next());
  }

  private next(): void {
    if (this.store) this.connect();
    else this.prepare();
  }

  private prepare(): void {
    this.enter('preparing');
    this.environment.specs().then(
      (specs) => {
        if (this.phase !== 'preparing') return;
        this.store = new Store(this.subscriptions, specs);
        for (const { id, view } of this.subscriptions) {
          if (!this.store.has(id)) this.listener.problem(`this engine has no view "${view}"`);
        }
        this.connect();
      },
      (error: unknown) => {
        if (this.phase !== 'preparing') return;
        this.listener.problem(String(error));
        this.retry();
      },
    );
  }

  private connect(): void {
    this.enter('connecting');
    const socket = this.environment.open();
    this.socket = socket;
    socket.onopen = () => this.subscribe();
    socket.onmessage = (event) => this.receive(event.data);
    socket.onclose = () => this.retry();
    socket.onerror = () => {};
    this.timer('priming', PRIMING_MS, () => this.retry());
  }

  private subscribe(): void {
    this.enter('priming');
    this.lastFrame = null;
    this.unanswered.clear();
    for (const subscription of this.subscriptions) this.ask(subscription);
    this.ping();
    this.listen();
  }

  /** Sends one subscription, from where its rows stand if it has any. */
  private ask({ id, view, where, columns }: Subscription): void {
    const table = this.store?.table(id);
    if (!this.store || !table) return;
    this.unanswered.add(id);
    const since = this.resumable && table.version > 0 ? this.store.tick : null;
    const message = {
      type: 'subscribe', id, view, ...(where && { where }), ...(columns && { columns: this.store.known(view, columns) }),
      ...(since !== null && { since }),
    };
    this.socket?.send(JSON.stringify(message));
  }

  private ping(): void {
    this.socket?.send('{"type":"ping"}');
    this.timer('ping', PING_EVERY_MS, () => this.ping());
  }

  private listen(): void {
    this.timer('silence', SILENCE_MS, () => this.retry());
  }

  private startOver(why: string): void {
    this.listener.problem(why);
    this.resumable = false;
    this.retry();
  }

  private receive(data: unknown): void {
    this.listen();
    const store = this.store;
    if (!store || typeof data !== 'string') return;
    let message: ServerMessage;
    try {
      message = JSON.parse(data) as ServerMessage;
    } catch {
      this.startOver('a message is not JSON');
      return;
    }
    switch (message.type) {
      case 'snapshot':
        this.unanswered.delete(message.id);
        store.snapshot(message.id, message.rows);
        break;
      case 'update': {
        const known = this.phase === 'live' ? (this.lastFrame ?? -1) : (this.lastFrame ?? store.tick ?? -1);
        if (this.phase === 'live' && message.lower > known + 1) {
          this.startOver(`a gap: ticks ${known + 1} to ${message.lower} are missing`);
          return;
        }
        store.update(message.id, message.upserts, message.deletes);
        break;
      }
      case 'frame':
        if (this.phase === 'live' && message.tick < (store.tick ?? 0)) {
          this.startOver(`time runs back from ${store.tick} to ${message.tick}`);
          return;
        }
        this.lastFrame = message.tick;
        if (this.phase === 'live') this.commit(store, message.tick);
        break;
      case 'pong':
        if (this.phase === 'priming') this.primed(store);
        break;
      case 'error':
        this.unanswered.delete(message.id ?? '');
        this.listener.problem(`${message.code}: ${message.message}`);
        break;
    }
  }

  private primed(store: Store): void {
    if (this.lastFrame === null) {
      this.startOver('no frame came');
      return;
    }
    // Only subscriptions answered by a snapshot may go back in time.
    if (store.tick !== null && this.lastFrame < store.tick && this.unanswered.size > 0) {
      this.startOver(`time runs back from ${store.tick} to ${this.lastFrame}`);
      return;
    }
    this.timers['priming']?.();
    this.attempt = 0;
    this.resumable = true;
    this.commit(store, this.lastFrame);
    this.enter('live');
  }

  private commit(store: Store, tick: number): void {
    store.commit(tick);
    this.listener.committed(store);
  }
}

/** The environment of a browser. `base` is the address of the API, such as `/api/v1`. */
export function browserEnvironment(base: string): Environment {
  return {
    open: () => {
      const url = new URL(`${base}/live`, location.href);
      url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
      return new WebSocket(url, PROTOCOL) as unknown as SocketLike;
    },
    specs: async () => {
      const answer = await fetch(`${base}/views`, { signal: AbortSignal.timeout(10_000) });
      if (!answer.ok) throw new Error(`GET ${base}/views: ${answer.status}`);
      return (await answer.json()) as ViewSpec[];
    },
    after: (ms, task) => {
      const id = setTimeout(task, ms);
      return () => clearTimeout(id);
    },
    random: Math.random,
  };
}
