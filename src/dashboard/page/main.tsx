import { render } from 'preact';

import { App } from './app.js';
import { applyTheme, readTheme } from './theme.js';

applyTheme(readTheme());
const root = document.querySelector('#app')!;
root.textContent = '';
render(<App />, root);
