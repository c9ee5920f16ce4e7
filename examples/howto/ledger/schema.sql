CREATE TABLE fences (
  name  TEXT PRIMARY KEY,
  token BIGINT NOT NULL -- the greatest that a leader of this group has written with
);
CREATE TABLE payments (
  order_id TEXT PRIMARY KEY,
  cents    BIGINT NOT NULL
);
CREATE TABLE outbox (
  id       INTEGER PRIMARY KEY AUTOINCREMENT, -- in PostgreSQL: BIGINT GENERATED ALWAYS AS IDENTITY
  order_id TEXT NOT NULL,
  cents    BIGINT NOT NULL
);
