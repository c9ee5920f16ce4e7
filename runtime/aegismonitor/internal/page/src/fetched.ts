import { useEffect, useState } from 'preact/hooks';
import { get } from './api.ts';

export interface Fetched<T> {
  value: T | null;
  error: unknown; // null if there is none
}

// useFetched reads what is not live, again after "every" milliseconds if that is not 0, and when
// "again" changes. The path "" reads nothing.
export function useFetched<T>(path: string, every = 0, again = 0): Fetched<T> {
  const [state, setState] = useState<Fetched<T> & { path: string }>({ path, value: null, error: null });
  useEffect(() => {
    if (path === '') return;
    const ended = new AbortController();
    let timer = 0;
    const read = async () => {
      try {
        if (!document.hidden) setState({ path, value: await get<T>(path, ended.signal), error: null });
      } catch (error) {
        if (!ended.signal.aborted) setState((old) => ({ path, value: old.path === path ? old.value : null, error }));
      }
      if (every > 0 && !ended.signal.aborted) timer = window.setTimeout(read, every);
    };
    void read();
    return () => {
      ended.abort();
      clearTimeout(timer);
    };
  }, [path, every, again]);
  return state.path === path ? state : { value: null, error: null };
}
