// What the Node programs share: cases in on stdin, outcomes out on stdout.
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';

/** The SDK under test: the folder of its package is the program's first argument. */
export const sdk = createRequire(import.meta.url)(process.argv[2]);

/** Run all cases at once; `failure` tells of the error that a call ended with. */
export async function serve(call, failure) {
  const asked = JSON.parse(await text(process.stdin));
  const found = {};
  await Promise.all(
    asked.cases.map(async (one) => {
      try {
        found[one.name] = await call(asked.url, one);
      } catch (error) {
        found[one.name] = { failure: { class: error.constructor.name, ...failure(error) } };
      }
    }),
  );
  process.stdout.write(JSON.stringify(found));
}
