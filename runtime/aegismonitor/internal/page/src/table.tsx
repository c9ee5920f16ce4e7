// Table is a table whose rows can be sorted and opened. Only the rows that are seen are in the
// page, so that a thousand are as fluid as ten; each row has the same height for that.

import type { ComponentChildren } from 'preact';
import { memo } from 'preact/compat';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { formatSort, nextSort, parseSort, sorted, type SortValue } from './sort.ts';

export interface Column<T> {
  key: string;
  title: string;
  // In pixels. The columns without a width share what is left, and have at least "least".
  width?: number;
  least?: number;
  figures?: boolean; // aligned at the right
  hint?: string;
  untitled?: boolean; // the title is for screen readers alone
  sort?: (row: T) => SortValue;
  cell: (row: T) => ComponentChildren;
  // What the cell is made of, if it is of nothing but the row: it is made anew when that changes.
  // Most of what a new document has is what the one before had.
  of?: (row: T) => string;
}

interface Props<T> {
  label: string;
  rows: readonly T[];
  columns: Column<T>[];
  id: (row: T) => string;
  // The link of a row; "" for none. The first column has it.
  link?: (row: T) => string;
  marked?: (row: T) => boolean;
  // The sort as it is in the URL, and the link to another one.
  sort?: string | undefined;
  sortLink?: (sort: string) => string;
}

const many = 60; // rows above which only those that are seen are there
const spare = 8;

// The height of a row in CSS, where touch needs more of it.
const coarse = matchMedia('(pointer: coarse)');
const phone = matchMedia('(max-width: 760px)');
const rowHeight = () => (coarse.matches ? 36 : 20);

export function Table<T>(props: Props<T>) {
  const { columns, rows } = props;
  const sort = parseSort(props.sort);
  const by = columns.find((column) => column.key === sort.key)?.sort;
  const ordered = useMemo(
    () => (by === undefined ? rows : sorted(rows, by, sort.down)),
    [rows, sort.key, sort.down],
  );
  const frame = useRef<HTMLDivElement>(null);
  const windowed = ordered.length > many;
  const [first, last] = useWindow(frame, ordered.length, windowed);
  // A phone has to show more than the names.
  const most = phone.matches ? 150 : Infinity;
  const least = columns.reduce((sum, column) => sum + (column.width ?? Math.min(most, column.least ?? 120)), 0);

  return (
    <div class={windowed ? 'frame tall' : 'frame'} ref={frame} role="group" aria-label={props.label} tabIndex={0}>
      <table style={{ minWidth: least + 'px' }} aria-rowcount={ordered.length + 1}>
        <colgroup>
          {columns.map((column) => (
            <col key={column.key} style={column.width === undefined ? {} : { width: column.width + 'px' }} />
          ))}
        </colgroup>
        <thead>
          <tr>
            {columns.map((column) => (
              <Head key={column.key} column={column} sort={props.sort} link={props.sortLink} />
            ))}
          </tr>
        </thead>
        <tbody>
          <Gap rows={first} columns={columns.length} />
          {ordered.slice(first, last).map((row, i) => (
            <Row key={props.id(row)} row={row} index={first + i} columns={columns} link={props.link?.(row) ?? ''}
              marked={props.marked?.(row) ?? false} />
          ))}
          <Gap rows={ordered.length - last} columns={columns.length} />
        </tbody>
      </table>
    </div>
  );
}

function Head<T>(props: { column: Column<T>; sort: string | undefined; link: ((sort: string) => string) | undefined }) {
  const { column, link } = props;
  const sort = parseSort(props.sort);
  const on = sort.key === column.key;
  const order = on ? (sort.down ? 'descending' : 'ascending') : 'none';
  const sortable = column.sort !== undefined && link !== undefined;
  return (
    <th scope="col" class={column.figures ? 'r' : ''} title={column.hint ?? ''} {...(sortable ? { 'aria-sort': order } : {})}>
      {sortable ? (
        <button type="button" class="sort" onClick={() => location.replace(link(formatSort(nextSort(sort, column.key))))}>
          {column.title}
          <span class="arrow" aria-hidden="true">{on ? (sort.down ? '↓' : '↑') : ''}</span>
        </button>
      ) : (
        <span class={column.untitled ? 'hidden' : ''}>{column.title}</span>
      )}
    </th>
  );
}

function Row<T>(props: { row: T; index: number; columns: Column<T>[]; link: string; marked: boolean }) {
  const { row, columns, link } = props;
  // A click anywhere in the row opens it, but not one that ends the selection of text.
  const open = (event: MouseEvent) => {
    if (link === '' || (event.target as Element).closest('a, button, input, label') || String(getSelection())) return;
    location.hash = link;
  };
  return (
    <tr aria-rowindex={props.index + 2} class={(link === '' ? '' : 'opens ') + (props.marked ? 'marked' : '')} onClick={open}>
      {columns.map((column, i) => {
        const cell = <Cell of={column.of?.(row)} make={() => column.cell(row)} />;
        if (i > 0) return <td key={column.key} class={column.figures ? 'r' : ''}>{cell}</td>;
        return (
          <th key={column.key} scope="row">
            {link === '' ? cell : <a href={link} data-row {...(props.marked ? { 'aria-current': 'true' } : {})}>{cell}</a>}
          </th>
        );
      })}
    </tr>
  );
}

interface CellProps {
  of: string | undefined;
  make: () => ComponentChildren;
}

// Cell is made anew when what it is made of has changed.
const Cell = memo(({ make }: CellProps) => <>{make()}</>, (a, b) => a.of !== undefined && a.of === b.of);

// Gap has the place of rows that are out of sight.
function Gap({ rows, columns }: { rows: number; columns: number }) {
  if (rows <= 0) return null;
  return (
    <tr aria-hidden="true" class="gap">
      <td colSpan={columns} style={{ height: rows * rowHeight() + 'px' }} />
    </tr>
  );
}

// useWindow returns the first row that is there and the one after the last, from where the frame
// is scrolled to.
function useWindow(frame: { current: HTMLDivElement | null }, rows: number, windowed: boolean): [number, number] {
  const [at, setAt] = useState({ top: 0, height: 900 });
  useEffect(() => {
    const element = frame.current;
    if (!windowed || element === null) return;
    // A state for each ten rows is enough, as there are spare ones.
    const look = () => {
      const step = 10 * rowHeight();
      const top = Math.floor(element.scrollTop / step) * step;
      setAt((old) => (old.top === top && old.height === element.clientHeight ? old : { top, height: element.clientHeight }));
    };
    look();
    element.addEventListener('scroll', look, { passive: true });
    const sizes = new ResizeObserver(look);
    sizes.observe(element);
    return () => {
      element.removeEventListener('scroll', look);
      sizes.disconnect();
    };
  }, [windowed]);
  if (!windowed) return [0, rows];
  const last = Math.min(rows, Math.ceil((at.top + at.height) / rowHeight()) + spare + 10);
  return [Math.max(0, Math.min(Math.floor(at.top / rowHeight()) - spare, last - spare)), last];
}
