import { Field } from '../field.tsx';
import { withQuery, type Route } from '../route.ts';

// Filter is a field whose text is a value of the route. It replaces the page's entry in the
// history: a letter that was typed is nothing to go back to.
export function Filter({ route, label, name = 'q' }: { route: Route; label: string; name?: string }) {
  const filter = (text: string) => location.replace(withQuery(route, { [name]: text }));
  return <Field label={label} placeholder={label} value={route.query[name] ?? ''} onText={filter} />;
}
