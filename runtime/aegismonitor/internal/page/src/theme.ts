import { useEffect, useState } from 'preact/hooks';

export type Theme = 'light' | 'dark';

const key = 'aegis.theme';
const dark = matchMedia('(prefers-color-scheme: dark)');

function present(): Theme {
  const chosen = localStorage.getItem(key);
  if (chosen === 'light' || chosen === 'dark') return chosen;
  return dark.matches ? 'dark' : 'light';
}

// useTheme returns the theme, and a switch. A choice that is what the system says is forgotten, so
// that the page follows the system again.
export function useTheme(): [Theme, () => void] {
  const [theme, setTheme] = useState(present);
  useEffect(() => {
    const follow = () => setTheme(present());
    dark.addEventListener('change', follow);
    return () => dark.removeEventListener('change', follow);
  }, []);
  // The variables have to be there before the plots are drawn with them.
  document.documentElement.dataset['theme'] = theme;
  const change = () => {
    const next = theme === 'dark' ? 'light' : 'dark';
    if ((next === 'dark') === dark.matches) localStorage.removeItem(key);
    else localStorage.setItem(key, next);
    setTheme(next);
  };
  return [theme, change];
}
