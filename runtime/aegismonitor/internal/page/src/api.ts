// Requests to the monitor's API. All of them are relative to the page, so that the monitor works
// under any path, and carry the token if there is one.

import type { Problem } from './types.ts';

const tokenKey = 'aegis.token';

// ApiError is an answer that is no success.
export class ApiError extends Error {
  constructor(
    readonly problem: Problem,
    // The monitor wants a bearer token, for which the page has to ask. (For other schemes the
    // browser does.)
    readonly wantsToken: boolean,
  ) {
    super(problem.detail || problem.title);
  }
}

export function saveToken(token: string): void {
  sessionStorage.setItem(tokenKey, token);
}

export function hasToken(): boolean {
  return sessionStorage.getItem(tokenKey) !== null;
}

// request asks for a path below the API and returns an answer that is a success.
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const token = sessionStorage.getItem(tokenKey);
  if (token !== null) headers.set('Authorization', 'Bearer ' + token);
  const response = await fetch('api/v1/' + path, { ...init, headers, cache: 'no-store' });
  if (response.ok) return response;
  const wantsToken = response.status === 401 && /^bearer/i.test(response.headers.get('WWW-Authenticate') ?? '');
  throw new ApiError(await problemOf(response), wantsToken);
}

// problemOf reads a problem. A proxy between the page and the monitor may answer with others.
async function problemOf(response: Response): Promise<Problem> {
  const problem = { status: response.status, title: response.statusText || 'HTTP ' + response.status, code: '', detail: '' };
  if (!(response.headers.get('Content-Type') ?? '').startsWith('application/problem+json')) return problem;
  try {
    return { ...problem, ...((await response.json()) as Partial<Problem>) };
  } catch {
    return problem;
  }
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await request(path, { headers: { Accept: 'application/json' }, signal: signal ?? null });
  return (await response.json()) as T;
}

export async function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  const response = await request(path, {
    method: 'POST',
    headers: { Accept: 'application/json', 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    signal: signal ?? null,
  });
  return (await response.json()) as T;
}

// pathOf joins the parts of a path, each of which may have any characters.
export function pathOf(...parts: string[]): string {
  return parts.map(encodeURIComponent).join('/');
}

// queryOf returns a query without its empty values.
export function queryOf(values: Record<string, string | number>): string {
  const given = Object.entries(values).filter(([, value]) => value !== '');
  return given.length === 0 ? '' : '?' + new URLSearchParams(given.map(([k, v]) => [k, String(v)])).toString();
}

// explain returns an error for people.
export function explain(err: unknown): string {
  if (err instanceof ApiError) return err.message;
  return 'The monitor does not answer.';
}
