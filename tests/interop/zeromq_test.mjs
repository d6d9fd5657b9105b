// libzmq 4.3.5 (npm `zeromq`) against the broker's transport. Exits 77 (skipped), loudly, when the module
// is not installed: npm ci --prefix tests/interop
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

let zmq;
try {
  zmq = await import('zeromq');
} catch (e) {
  console.error(`SKIPPED, NOTHING WAS TESTED: npm module zeromq is missing (npm ci --prefix tests/interop): ${e.message}`);
  process.exit(77);
}
const server_path = process.argv[2];
const WAIT_MS = 5000;

const ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#';
function z85(bytes) {
  let text = '';
  for (let i = 0; i < bytes.length; i += 4) {
    let v = bytes.readUInt32BE(i), part = '';
    for (let k = 0; k < 5; k++, v = Math.floor(v / 85)) part = ALPHABET[v % 85] + part;
    text += part;
  }
  return text;
}

async function withServer(args, body) {
  const child = spawn(server_path, ['tcp://127.0.0.1:0', ...args], { stdio: ['pipe', 'pipe', 'ignore'] });
  const [line] = await once(createInterface(child.stdout), 'line');
  const [endpoint, hex] = line.split(' ');
  const pair = zmq.curveKeyPair();
  const dealer = new zmq.Dealer({
    curveServerKey: z85(Buffer.from(hex, 'hex')), curvePublicKey: pair.publicKey, curveSecretKey: pair.secretKey,
    heartbeatInterval: 100, heartbeatTimeout: 1000, reconnectInterval: 20, linger: 0,
    receiveTimeout: WAIT_MS, sendTimeout: WAIT_MS,
  });
  try {
    await body(dealer, () => dealer.connect(endpoint));
  } finally {
    dealer.close();
    child.stdin.end();
    const [code] = await once(child, 'exit');
    assert.equal(code, 0);
  }
}

async function awaitEvent(dealer, type) {
  const late = AbortSignal.timeout(WAIT_MS);
  for (;;) {
    const event = await Promise.race([dealer.events.receive(),
      new Promise((_, no) => late.addEventListener('abort', () => no(new Error(`no event ${type}`))))]);
    if (event.type === type) return event;
  }
}

const tests = {
  'packets of every size are echoed': () => withServer([], async (dealer, connect) => {
    connect();
    for (const size of [1, 200, 222, 223, 8192, 65503]) {
      const body = randomBytes(size);
      await dealer.send(body);
      const [back] = await dealer.receive();
      assert.deepEqual(back, body);
    }
  }),
  'a client that was cut returns by itself': () => withServer([], async (dealer, connect) => {
    connect();
    await awaitEvent(dealer, 'handshake'); // a cut in the middle of it has another event
    await dealer.send('cut');
    await awaitEvent(dealer, 'disconnect');
    await awaitEvent(dealer, 'handshake');
    await dealer.send('again');
    assert.equal((await dealer.receive()).toString(), 'again');
  }),
  'a client that was put off returns by itself': () => withServer(['--put-off', '2'], async (dealer, connect) => {
    connect();
    await dealer.send('later');
    assert.equal((await dealer.receive()).toString(), 'later');
  }),
  'an unknown key gets ERROR 400': () => withServer(['11'.repeat(32)], async (dealer, connect) => {
    connect();
    const event = await awaitEvent(dealer, 'handshake:error:auth');
    assert.equal(event.error.status, 400);
  }),
  'a multipart message ends the connection': () => withServer([], async (dealer, connect) => {
    connect();
    await awaitEvent(dealer, 'handshake');
    await dealer.send(['a', 'b']);
    await awaitEvent(dealer, 'disconnect');
  }),
};

let failed = 0;
for (const [name, run] of Object.entries(tests)) {
  try {
    await run();
    console.log(`ok - ${name}`);
  } catch (e) {
    failed++;
    console.log(`not ok - ${name}: ${e.stack}`);
  }
}
console.log(`libzmq ${zmq.version}: ${failed} failed`);
process.exit(failed ? 1 : 0);
