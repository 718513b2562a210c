// Opens an artifact by address or as a dropped file, shows what it holds, and classifies what is drawn.

import { load, openBackend, TernseedError } from '/dist/browser/ternseed-artifact.js';

const SIDE = 28; // of MNIST's images; a digit fills 20 of it
const [form, status, pad, list, facts] = ['form', '#status', '#pad', '#classes', '#facts'].map((selector) =>
  document.querySelector(selector),
);
const ink = pad.getContext('2d', { willReadFrequently: true });
const backend = await openBackend('auto');
let model = null; // of the file that is open

/** Loads a file, and shows the fault where it is one of the file or the address. */
async function show(name, source) {
  status.className = '';
  status.textContent = `opening ${name} …`;
  try {
    const start = performance.now();
    const loaded = await load(source, { backend });
    const milliseconds = performance.now() - start;
    await model?.close();
    model = loaded;
    status.textContent = `${name}: loaded in ${milliseconds.toFixed(0)} ms, hash verified`;
    showFacts(model.artifact);
    await classify();
  } catch (error) {
    if (!(error instanceof TernseedError)) throw error;
    status.className = 'fault';
    status.textContent = error.message;
  }
}

function showFacts({ kind, bytes, steps, header, weightsHash, network: { parameters, name } }) {
  const count = (value) => value.toLocaleString('en');
  const rows = {
    file: `${count(bytes)} bytes, ${kind}`,
    model: name.replaceAll('-', ' – '),
    weights: `${count(parameters)}, ${((4 * parameters) / bytes).toFixed(0)}× the file as float32`,
    training: `${count(steps)} steps on ${header.data.name}`,
    'run on': backend.summary,
    'weights hash': weightsHash,
  };
  facts.replaceChildren(
    ...Object.entries(rows).flatMap(([term, text]) => [element('dt', term), element('dd', text)]),
  );
}

async function classify() {
  const inputs = digit();
  if (!model || !inputs) return showClasses([]);
  try {
    const { probabilities } = await model.predict(inputs, { range: [0, 127] });
    showClasses([...probabilities]);
  } catch (error) {
    if (!(error instanceof TernseedError)) throw error;
    status.className = 'fault';
    status.textContent = error.message;
  }
}

function showClasses(shares) {
  const best = shares.indexOf(Math.max(...shares));
  list.replaceChildren(
    ...Array.from({ length: shares.length || 10 }, (_, label) => {
      const share = shares[label] ?? 0;
      const item = element('li', String(model?.labels[label] ?? label));
      if (label === best) item.className = 'best';
      const bar = Object.assign(element('span', ''), { className: 'bar' });
      bar.style.setProperty('--share', share);
      item.append(bar, element('output', shares.length ? `${(100 * share).toFixed(1)}%` : ''));
      return item;
    }),
  );
}

/** The drawing as MNIST has its digits: 20 pixels at the most, the centre of mass in the middle; u7. */
function digit() {
  const { width, height } = pad;
  const { data } = ink.getImageData(0, 0, width, height);
  const box = { left: width, top: height, right: -1, bottom: -1 };
  let [mass, x, y] = [0, 0, 0];
  for (let i = 0; i < width * height; i++) {
    const alpha = data[4 * i + 3];
    if (alpha === 0) continue;
    const [column, row] = [i % width, Math.floor(i / width)];
    box.left = Math.min(box.left, column);
    box.right = Math.max(box.right, column);
    box.top = Math.min(box.top, row);
    box.bottom = Math.max(box.bottom, row);
    mass += alpha;
    x += alpha * column;
    y += alpha * row;
  }
  if (mass === 0) return null;
  const scale = 20 / Math.max(box.right - box.left + 1, box.bottom - box.top + 1);
  const small = Object.assign(document.createElement('canvas'), { width: SIDE, height: SIDE }).getContext(
    '2d',
  );
  small.imageSmoothingQuality = 'high';
  small.translate(SIDE / 2 - (scale * x) / mass, SIDE / 2 - (scale * y) / mass);
  small.drawImage(pad, 0, 0, width * scale, height * scale);
  const pixels = small.getImageData(0, 0, SIDE, SIDE).data;
  return Uint8Array.from({ length: SIDE * SIDE }, (_, i) => pixels[4 * i + 3] >> 1);
}

function element(name, text) {
  return Object.assign(document.createElement(name), { textContent: text });
}

/** Where a pointer is on the pad, in the canvas's pixels. */
function place({ offsetX, offsetY }) {
  return [(offsetX * pad.width) / pad.clientWidth, (offsetY * pad.height) / pad.clientHeight];
}

pad.addEventListener('pointerdown', (event) => {
  pad.setPointerCapture(event.pointerId);
  Object.assign(ink, { lineWidth: 22, lineCap: 'round', lineJoin: 'round' });
  ink.strokeStyle = getComputedStyle(pad).color;
  ink.beginPath();
  ink.moveTo(...place(event));
});
pad.addEventListener('pointermove', (event) => {
  if (!pad.hasPointerCapture(event.pointerId)) return;
  ink.lineTo(...place(event));
  ink.stroke();
});
pad.addEventListener('pointerup', (event) => {
  ink.lineTo(...place(event)); // a dot, if the pointer did not move
  ink.stroke();
  void classify();
});
document.querySelector('#clear').addEventListener('click', () => {
  ink.clearRect(0, 0, pad.width, pad.height);
  showClasses([]);
});

form.addEventListener('submit', (event) => {
  event.preventDefault();
  void show(form.url.value, form.url.value);
});
addEventListener('dragover', (event) => {
  event.preventDefault();
  document.body.className = 'dropping';
});
addEventListener('dragleave', () => {
  document.body.className = '';
});
addEventListener('drop', (event) => {
  event.preventDefault();
  document.body.className = '';
  const [file] = event.dataTransfer.files;
  if (file) void show(file.name, file);
});

form.url.value = new URLSearchParams(location.search).get('artifact') ?? 'mnist.tern'; // as `npm start` trains it
showClasses([]);
await show(form.url.value, form.url.value);
