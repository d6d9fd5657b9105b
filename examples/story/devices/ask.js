'use strict';
// A foreign controller: asks a storage battery what was set (DA), what it does (CF), its power (D3) and its
// state of charge (E4), and prints one JSON line. It shares no code with the adapter.
//
//   node ask.js --address 10.77.0.3 --battery 10.77.0.2 [--instance 01] [--timeout-ms 3000]
const EchonetLite = require('node-echonet-lite');

const args = { instance: '01', 'timeout-ms': '3000' };
for (let i = 2; i + 1 < process.argv.length; i += 2) args[process.argv[i].replace(/^--/, '')] = process.argv[i + 1];
if (!args.address || !args.battery) {
  console.error('ask.js: --address (own) and --battery (asked) are needed');
  process.exit(2);
}

const eoj = [0x02, 0x7d, parseInt(args.instance, 16)];
const modes = { 0x40: 'other', 0x41: 'rapid charge', 0x42: 'charge', 0x43: 'discharge', 0x44: 'standby', 0x46: 'auto' };
const el = new EchonetLite({ lang: 'en', type: 'lan', netif: args.address });

function finish(object, code) {
  process.stdout.write(JSON.stringify(object) + '\n', () => process.exit(code));
}

el.init((err) => {
  if (err) return finish({ error: String(err) }, 1);
  setTimeout(() => finish({ error: 'no answer', battery: args.battery }, 1), Number(args['timeout-ms']));
  const asked = [0xda, 0xcf, 0xd3, 0xe4].map((epc) => ({ epc, edt: null }));
  el.send(args.battery, eoj, 'Get', asked, (e, res) => {
    if (e) return finish({ error: String(e) }, 1);
    // The package knows no class 027D: the bytes are read here.
    const value = {};
    for (const p of res.message.prop) if (p.buffer) value[p.epc] = Buffer.from(p.buffer);
    const mode = (b) => (b ? modes[b[0]] || b.toString('hex') : null);
    finish({
      battery: args.battery,
      set: mode(value[0xda]),
      does: mode(value[0xcf]),
      watts: value[0xd3] ? value[0xd3].readInt32BE(0) : null,
      soc: value[0xe4] ? value[0xe4][0] : null,
    }, 0);
  });
});
