import { useEffect, useRef, useState } from 'preact/hooks';

interface Attributes {
  id?: string;
  label: string;
  placeholder: string;
  value: string;
  onText: (text: string) => void;
}

// Field is a search field whose text is in the route. The route follows with a delay what is
// typed, so that it does not set the text of a field that somebody types into.
export function Field({ id, label, placeholder, value, onText }: Attributes) {
  const input = useRef<HTMLInputElement>(null);
  const [text, setText] = useState(value);
  useEffect(() => {
    if (document.activeElement !== input.current) setText(value);
  }, [value]);
  return (
    <input
      ref={input} {...(id === undefined ? {} : { id })} type="search" aria-label={label} placeholder={placeholder} maxLength={200}
      autocomplete="off" spellcheck={false} value={text}
      onInput={(event) => {
        setText(event.currentTarget.value);
        onText(event.currentTarget.value);
      }}
      onBlur={() => setText(value)}
    />
  );
}
