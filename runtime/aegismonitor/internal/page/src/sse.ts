// LineReader cuts a stream of server-sent events into the data of its events. The monitor sends
// each document as one line, so nothing is joined; comments and other fields are passed over.
export class LineReader {
  private parts: string[] = [];
  private size = 0;

  constructor(private readonly limit: number) {}

  // push takes a piece of the stream and returns the data of the events that it completes.
  push(piece: string): string[] {
    const found: string[] = [];
    let from = 0;
    for (let end = piece.indexOf('\n'); end >= 0; end = piece.indexOf('\n', from)) {
      this.parts.push(piece.slice(from, end));
      const line = this.parts.join('').replace(/\r$/, '');
      this.parts = [];
      this.size = 0;
      if (line.startsWith('data:')) found.push(line.slice(5));
      from = end + 1;
    }
    this.parts.push(piece.slice(from));
    this.size += piece.length - from;
    // A line without an end must not fill the memory of a page that is open for weeks.
    if (this.size > this.limit) throw new Error('an event of the monitor is too long');
    return found;
  }
}
