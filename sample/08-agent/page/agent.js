// Shows the stream of a run. The run's id is in the fragment of the URL, so a reload shows the same
// run again, from the beginning.

const log = document.querySelector('#log');
const state = document.querySelector('#state');
const form = document.querySelector('#ask');

/** Chunks that count, with their places in the stream. */
let shown = [];
/** Number of answers that began again. */
let restarts = 0;
let source;
let timer;

const TITLES = { findOrder: 'Looks up the order', refund: 'Pays money back' };

function setState(name, text) {
  state.dataset.state = name;
  state.textContent = text;
  for (const each of log.querySelectorAll('.typing')) each.classList.remove('typing');
  if (name === 'live') log.querySelector('.answer:last-child')?.classList.add('typing');
}

function add(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  log.append(element);
  return element;
}

function cardOf(id) {
  return [...log.querySelectorAll('.call')].find((card) => card.dataset.id === id);
}

function facts(card, values) {
  const list = card.querySelector('dl');
  for (const [name, value] of Object.entries(values)) {
    const term = document.createElement('dt');
    const detail = document.createElement('dd');
    const isAmount = name === 'cents';
    term.textContent = isAmount ? 'amount' : name;
    detail.textContent = isAmount ? `${(value / 100).toFixed(2)} euros` : String(value);
    list.append(term, detail);
  }
}

function button(text, className, click) {
  const element = document.createElement('button');
  element.type = 'button';
  element.className = className;
  element.textContent = text;
  element.addEventListener('click', click);
  return element;
}

async function decide(card, token, approved) {
  for (const each of card.querySelectorAll('button')) each.disabled = true;
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`approvals/${token}`, { method: 'POST', headers, body: JSON.stringify({ approved }) }).catch(
    () => undefined,
  );
  if (response?.ok) return;
  for (const each of card.querySelectorAll('button')) each.disabled = false;
}

const DRAW = {
  question: ({ text }) => add('p', 'question', text),
  call({ id, tool, input }) {
    const card = document.querySelector('#call').content.firstElementChild.cloneNode(true);
    card.dataset.id = id;
    card.dataset.state = 'running';
    card.querySelector('h2').textContent = TITLES[tool] ?? tool;
    facts(card, input);
    log.append(card);
  },
  approval({ id, token }) {
    const card = cardOf(id);
    card.dataset.state = 'waiting';
    const choices = [button('Approve', '', () => decide(card, token, true)), button('Refuse', 'plain', () => decide(card, token, false))];
    card.querySelector('footer').append('A colleague must approve this.', ...choices);
  },
  result({ id, output }) {
    const card = cardOf(id);
    card.dataset.state = 'refused' in output ? 'refused' : 'done';
    card.querySelector('footer').replaceChildren();
    card.querySelector('dl').replaceChildren();
    facts(card, output);
  },
};

function draw(value) {
  if (typeof value !== 'string') {
    log.querySelector('.typing')?.classList.remove('typing');
    return void DRAW[value.type]?.(value);
  }
  let answer = log.lastElementChild;
  if (!answer?.classList.contains('answer')) answer = add('p', 'answer typing', '');
  answer.append(value);
}

/** The step that wrote the chunks from this place on is executed again. */
function dropFrom(from) {
  shown = shown.filter(({ place }) => place < from);
  log.replaceChildren();
  for (const { value } of shown) draw(value);
  restarts++;
  log.dataset.restarts = restarts;
  add('p', 'note', 'The answer was interrupted, and begins again.');
}

function follow(runId) {
  clearTimeout(timer);
  shown = [];
  restarts = 0;
  log.replaceChildren();
  form.hidden = true;
  setState('away', 'connecting');
  connect(`workflow/runs/${encodeURIComponent(runId)}/streams/agent`, '');
}

/** Opens the stream after the event with this id. */
function connect(url, after) {
  source?.close();
  const mine = new EventSource(`${url}?lastEventId=${after}`);
  let last = after;
  source = mine;
  const on = (type, handle) =>
    mine.addEventListener(type, (event) => {
      last = event.lastEventId || last;
      handle(event);
    });
  on('open', () => setState('live', 'live'));
  on('message', ({ data, lastEventId }) => {
    const value = JSON.parse(data);
    shown.push({ place: Number(lastEventId), value });
    draw(value);
    window.scrollTo(0, document.body.scrollHeight);
  });
  on('reset', ({ data }) => dropFrom(JSON.parse(data).from));
  // Without the close, the browser would connect again.
  on('end', ({ data }) => {
    mine.close();
    const hasAnswer = JSON.parse(data).state === 'completed';
    finish(hasAnswer ? 'done' : 'failed', hasAnswer ? 'answered' : 'no answer');
  });
  on('error', () => {
    setState('away', 'connecting again');
    if (mine.readyState === EventSource.CLOSED) void retry(url, last);
  });
}

/**
 * Connects again after a status other than 200. The browser gives up then, and does not say whether
 * a proxy has lost its application (502) or the server has refused the request (403).
 */
async function retry(url, last) {
  const closed = source;
  const response = await fetch(url, { method: 'HEAD', headers: { accept: 'text/event-stream' } }).catch(() => undefined);
  // Another URL was opened, and the page shows another run.
  if (source !== closed) return;
  if (response && response.status < 500 && !response.ok) return finish('failed', 'not available');
  timer = setTimeout(() => connect(url, last), 1_000);
}

function finish(name, text) {
  form.hidden = false;
  setState(name, text);
}

async function ask() {
  const body = JSON.stringify({ question: form.elements.question.value });
  const response = await fetch('questions', { method: 'POST', headers: { 'content-type': 'application/json' }, body }).catch(
    () => undefined,
  );
  if (!response?.ok) return setState('failed', 'not available');
  location.hash = (await response.json()).runId;
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  void ask();
});

const open = () => location.hash.length > 1 && follow(decodeURIComponent(location.hash.slice(1)));
window.addEventListener('hashchange', open);
open();
