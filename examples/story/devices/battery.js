'use strict';
// A storage battery (ECHONET Lite class 027D) with a small physical model. It speaks through the npm package
// `echonet-lite`, so that what the adapter talks to was not written with it.
//
//   node battery.js --address 10.77.0.2 [--instance 01] [--soc 50] [--ramp-ms 1500] [--capacity-wh 10000]
//                   [--max-w 5000] [--id 34HEX] [--refuse] [--lie] [--silent]
//
// --refuse: refuses every Set. --lie: takes a Set of the mode and never acts on it. --silent: is found, and
// then does not answer a Set. The same words on standard input switch it at run time: "lie on", "refuse off",
// "soc 80". Every change of state is one JSON line on standard output, and every Set of the mode one with `asked`,
// whether it changes anything or not.
const EL = require('echonet-lite');

const args = { instance: '01', soc: '50', 'ramp-ms': '1500', 'capacity-wh': '10000', 'max-w': '5000' };
const flags = { refuse: false, lie: false, silent: false };
for (let i = 2; i < process.argv.length; i++) {
  const name = process.argv[i].replace(/^--/, '');
  if (name in flags) flags[name] = true;
  else args[name] = process.argv[++i];
}
if (!args.address) {
  console.error('battery.js: --address is missing: the IPv4 address to speak from');
  process.exit(2);
}

const EOJ = '027d' + args.instance;
const MODE = { charge: 0x42, discharge: 0x43, standby: 0x44, auto: 0x46 };
const MAX_W = Number(args['max-w']);
const CAPACITY_WH = Number(args['capacity-wh']);
const RAMP_MS = Number(args['ramp-ms']);
const TICK_MS = 100;

const battery = {
  mode: MODE.auto, // DA: what was set
  state: MODE.auto, // CF: what it does
  watts: 0, // D3: positive charges
  storedWh: (CAPACITY_WH * Number(args.soc)) / 100,
  chargedWh: 0,
  dischargedWh: 0,
  chargeW: 1000,
  dischargeW: 1000,
  chargeMethod: 1,
  dischargeMethod: 1,
  remote: 0x41,
  follow: 0, // when the state follows the mode
};

const u8 = (v) => [v & 0xff];
const u32 = (v) => [(v >>> 24) & 0xff, (v >>> 16) & 0xff, (v >>> 8) & 0xff, v & 0xff];
const text12 = (t) => [...Buffer.from(t.padEnd(12, '\0'), 'ascii').subarray(0, 12)];
const number = (edt) => edt.reduce((v, b) => v * 256 + b, 0);
const watts = (edt) => number(edt) <= MAX_W;

// size, get, set: a set without `valid` takes any value of the right size.
const properties = {
  0x80: { size: 1, get: () => [0x30] },
  0x81: { size: 1, get: () => [0x00] },
  0x82: { size: 4, get: () => [0x00, 0x00, 0x52, 0x00] },
  0x88: { size: 1, get: () => [0x42] },
  0x8a: { size: 3, get: () => [0x00, 0x00, 0x77] },
  0x8c: { size: 12, get: () => text12('STORY-BATT') },
  0x8d: { size: 12, get: () => text12('SB-' + args.instance) },
  0x93: { size: 1, get: () => u8(battery.remote), valid: (e) => e[0] === 0x41 || e[0] === 0x42,
          set: (e) => { battery.remote = e[0]; } },
  0xa0: { size: 4, get: () => u32(CAPACITY_WH) },
  0xa1: { size: 4, get: () => u32(CAPACITY_WH) },
  0xa8: { size: 4, get: () => u32(Math.round(battery.chargedWh)) },
  0xa9: { size: 4, get: () => u32(Math.round(battery.dischargedWh)) },
  0xc1: { size: 1, get: () => u8(battery.chargeMethod), valid: (e) => e[0] >= 1 && e[0] <= 3,
          set: (e) => { battery.chargeMethod = e[0]; } },
  0xc2: { size: 1, get: () => u8(battery.dischargeMethod), valid: (e) => e[0] >= 1 && e[0] <= 3,
          set: (e) => { battery.dischargeMethod = e[0]; } },
  0xc8: { size: 8, get: () => [...u32(0), ...u32(MAX_W)] },
  0xc9: { size: 8, get: () => [...u32(0), ...u32(MAX_W)] },
  0xcf: { size: 1, get: () => u8(battery.state) },
  0xd3: { size: 4, get: () => u32(battery.watts) },
  0xda: { size: 1, get: () => u8(battery.mode), valid: (e) => Object.values(MODE).includes(e[0]), set: setMode },
  0xdb: { size: 1, get: () => [0x00] },
  0xe2: { size: 4, get: () => u32(Math.round(battery.storedWh)) },
  0xe4: { size: 1, get: () => u8(soc()) },
  0xe6: { size: 1, get: () => [0x04] },
  0xeb: { size: 4, get: () => u32(battery.chargeW), valid: watts, set: (e) => { battery.chargeW = number(e); } },
  0xec: { size: 4, get: () => u32(battery.dischargeW), valid: watts, set: (e) => { battery.dischargeW = number(e); } },
};
const epcs = Object.keys(properties).map(Number);
const maps = {
  0x9d: map([0x80, 0x88, 0xc1, 0xc2, 0xcf, 0xda]),
  0x9e: map(epcs.filter((e) => properties[e].set)),
  0x9f: map([...epcs, 0x9d, 0x9e, 0x9f]),
};

function map(list) {
  if (list.length < 16) return [list.length, ...list];
  const bits = new Array(16).fill(0);
  for (const epc of list) bits[epc & 15] |= 1 << ((epc >> 4) - 8);
  return [list.length, ...bits];
}

function soc() {
  return Math.round((battery.storedWh / CAPACITY_WH) * 100);
}

function report(event) {
  process.stdout.write(JSON.stringify({
    event, at: new Date().toISOString(), da: battery.mode.toString(16), cf: battery.state.toString(16),
    watts: battery.watts, soc: soc(), charged_wh: Math.round(battery.chargedWh),
    discharged_wh: Math.round(battery.dischargedWh), remote: battery.remote.toString(16),
  }) + '\n');
}

function announce(epc) {
  EL.sendOPC1(EL.EL_Multi, EOJ, '0ef001', EL.INF, epc, properties[epc].get());
}

function setMode(edt) {
  process.stdout.write(JSON.stringify({ event: 'asked', at: new Date().toISOString(), da: edt[0].toString(16) }) + '\n');
  if (battery.mode === edt[0]) return;
  battery.mode = edt[0];
  battery.follow = Date.now() + RAMP_MS;
  report('set');
  announce(0xda);
}

function wanted() {
  if (battery.state === MODE.charge) return battery.chargeMethod === 3 ? battery.chargeW : MAX_W;
  if (battery.state === MODE.discharge) return -(battery.dischargeMethod === 3 ? battery.dischargeW : MAX_W);
  return 0;
}

function tick() {
  const was = battery.watts;
  if (battery.state !== battery.mode && !flags.lie && Date.now() >= battery.follow) {
    battery.state = battery.mode;
    announce(0xcf);
  }
  let target = wanted();
  if ((target > 0 && battery.storedWh >= CAPACITY_WH) || (target < 0 && battery.storedWh <= 0)) target = 0;
  const step = MAX_W / 5;
  battery.watts += Math.max(-step, Math.min(step, target - battery.watts));
  const wh = (battery.watts * TICK_MS) / 3600000;
  battery.storedWh = Math.max(0, Math.min(CAPACITY_WH, battery.storedWh + wh));
  if (wh > 0) battery.chargedWh += wh;
  else battery.dischargedWh -= wh;
  if (was !== battery.watts) report('power');
}

function split(detail) {
  const list = [];
  const bytes = Buffer.from(detail, 'hex');
  for (let at = 0; at + 2 <= bytes.length; at += 2 + bytes[at + 1]) {
    list.push({ epc: bytes[at], edt: [...bytes.subarray(at + 2, at + 2 + bytes[at + 1])] });
  }
  return list;
}

function reply(rinfo, els, esv, list) {
  const body = list.flatMap((p) => [p.epc, p.edt.length, ...p.edt]);
  EL.sendArray(rinfo.address, [0x10, 0x81, ...EL.toHexArray(els.TID), ...EL.toHexArray(EOJ),
    ...EL.toHexArray(els.SEOJ), esv, list.length, ...body]);
}

function answerGet(rinfo, els, list) {
  let all = true;
  const out = list.map(({ epc }) => {
    const edt = maps[epc] || (epc === 0x83 ? EL.Node_details['83'] : properties[epc] && properties[epc].get());
    if (!edt) all = false;
    return { epc, edt: edt || [] };
  });
  reply(rinfo, els, all ? 0x72 : 0x52, out);
}

function answerSet(rinfo, els, list, confirmed) {
  let all = true;
  const out = list.map(({ epc, edt }) => {
    const p = properties[epc];
    const ok = !flags.refuse && p && p.set && edt.length === p.size && (!p.valid || p.valid(edt));
    if (!ok) all = false;
    if (ok) p.set(edt);
    return { epc, edt: ok ? [] : edt };
  });
  if (confirmed) reply(rinfo, els, all ? 0x71 : 0x51, out);
  else if (!all) reply(rinfo, els, 0x50, out);
}

function onFrame(rinfo, els) {
  const deoj = (els.DEOJ || '').toLowerCase();
  if (deoj !== EOJ && deoj !== '027d00') return;
  const list = split(els.DETAIL).slice(0, parseInt(els.OPC, 16));
  const set = els.ESV === '60' || els.ESV === '61';
  if (flags.silent && set) return;
  if (els.ESV === '62') answerGet(rinfo, els, list);
  else if (set) answerSet(rinfo, els, list, els.ESV === '61');
}

function onLine(line) {
  const [word, value] = line.trim().split(/\s+/);
  if (word in flags) flags[word] = value !== 'off';
  else if (word === 'soc') battery.storedWh = (CAPACITY_WH * Number(value)) / 100;
  else return;
  report(line.trim());
}

async function main() {
  await EL.initialize([EOJ], onFrame, 4, { v4: args.address, ignoreMe: true, autoGetProperties: false });
  if (args.id) EL.Node_details['83'] = [...Buffer.from(args.id, 'hex')];
  require('readline').createInterface({ input: process.stdin }).on('line', onLine);
  setInterval(tick, TICK_MS);
  report('ready');
}

process.on('SIGTERM', () => process.exit(0));
main();
