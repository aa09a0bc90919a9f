// npm mailparser over one mail again and again: `node mailparser.mjs FILE MILLISECONDS`; prints mails a second and KB of memory.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { simpleParser } = createRequire(`${process.env.RIVALS}/`)('mailparser');
const raw = readFileSync(process.argv[2]);
const millis = Number(process.argv[3]);
for (let n = 0; n < 50; n++) await simpleParser(raw);
const begun = performance.now();
let count = 0;
while (performance.now() - begun < millis) {
  const mail = await simpleParser(raw);
  if (!mail.from || !mail.text || mail.attachments.length !== 1) throw new Error('not understood');
  count++;
}
console.log((count * 1000) / (performance.now() - begun), process.resourceUsage().maxRSS);
