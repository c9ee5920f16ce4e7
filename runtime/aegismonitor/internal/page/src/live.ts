// A live document: the page reads it as server-sent events, with fetch, as an EventSource cannot
// send an Authorization header.

import { useEffect, useState } from 'preact/hooks';
import { ApiError, explain, request } from './api.ts';
import { LineReader } from './sse.ts';
import type { Header } from './types.ts';

export interface Live<T> {
  doc: T | null;
  received: number; // when the document came, by the clock of the browser; 0 for never
  // The stream is broken since then, with the reason; null while it is not.
  broken: { since: number; text: string } | null;
  wantsToken: boolean;
}

// The longest document, in characters; the largest expected one has about two million.
const limit = 64 << 20;
// The monitor sends something more often than that, if only a comment.
const silence = 20_000;
const firstPause = 250;
const longestPause = 5000;

// Follower reads one live document until it is closed, and reconnects with a growing pause. While
// the page is hidden it has no connection: nobody looks.
class Follower<T extends Header> {
  private readonly ended = new AbortController();
  private connection: AbortController | null = null;
  private timer = 0;
  private pause = firstPause;
  private live: Live<T> = { doc: null, received: 0, broken: null, wantsToken: false };

  constructor(
    private readonly path: string,
    private readonly tell: (live: Live<T>) => void,
  ) {
    document.addEventListener('visibilitychange', () => this.look(), { signal: this.ended.signal });
    window.addEventListener('online', () => this.look(), { signal: this.ended.signal });
    this.look();
  }

  close(): void {
    this.ended.abort();
    this.disconnect();
  }

  // look connects at once if the page is seen, and disconnects if it is not.
  private look(): void {
    if (document.hidden) {
      this.disconnect();
    } else if (this.connection === null) {
      clearTimeout(this.timer);
      void this.connect();
    }
  }

  private disconnect(): void {
    clearTimeout(this.timer);
    this.connection?.abort();
    this.connection = null;
  }

  private async connect(): Promise<void> {
    const connection = new AbortController();
    this.connection = connection;
    let problem: unknown = null;
    try {
      await this.read(connection);
    } catch (err) {
      problem = err;
    }
    // Another connection, or the end of the page, has taken the place of this one.
    if (this.connection !== connection) return;
    this.disconnect();
    this.live = {
      ...this.live,
      broken: { since: this.live.broken?.since ?? Date.now(), text: problem === null ? '' : explain(problem) },
      wantsToken: problem instanceof ApiError && problem.wantsToken,
    };
    this.tell(this.live);
    if (this.live.wantsToken) return; // It asks again with the token.
    this.timer = window.setTimeout(() => this.look(), this.pause * (0.75 + Math.random() / 2));
    this.pause = Math.min(this.pause * 2, longestPause / 1.25);
  }

  private async read(connection: AbortController): Promise<void> {
    const response = await request(this.path, {
      headers: { Accept: 'text/event-stream' },
      signal: connection.signal,
    });
    const body = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    const lines = new LineReader(limit);
    // A connection that died without a word would otherwise be waited on for ever.
    let watchdog = 0;
    try {
      for (;;) {
        watchdog = window.setTimeout(() => connection.abort(), silence);
        const piece = await body?.read();
        clearTimeout(watchdog);
        if (piece === undefined || piece.done) return;
        const latest = lines.push(piece.value).at(-1);
        if (latest !== undefined && this.connection === connection) this.take(latest);
      }
    } finally {
      clearTimeout(watchdog);
      connection.abort();
    }
  }

  private take(text: string): void {
    this.pause = firstPause;
    this.live = { doc: JSON.parse(text) as T, received: Date.now(), broken: null, wantsToken: false };
    this.tell(this.live);
  }
}

const nothing: Live<never> = { doc: null, received: 0, broken: null, wantsToken: false };

// useLive follows the document at a path, anew when "again" changes.
export function useLive<T extends Header>(path: string, again: number): Live<T> {
  const [state, setState] = useState<{ path: string; live: Live<T> }>({ path, live: nothing });
  useEffect(() => {
    const follower = new Follower<T>(path, (live) => setState({ path, live }));
    return () => follower.close();
  }, [path, again]);
  // The document of another path is not shown for a moment as this one's.
  return state.path === path ? state.live : nothing;
}
