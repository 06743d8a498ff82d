// node upload.mjs ENDPOINT FILE RETRIES DELAY_MS: a file by tus-js-client, which goes on by itself after a cut; prints
// where the upload is. For benchmarks/uploads.py.
import fs from "node:fs";
import { Upload } from "tus-js-client";

const [endpoint, path, retries, delayMs] = process.argv.slice(2);
const upload = new Upload(fs.createReadStream(path), {
  endpoint,
  uploadSize: fs.statSync(path).size,
  chunkSize: 64 * 1024 * 1024,
  metadata: { filename: "film.mp4" },
  retryDelays: Array(Number(retries)).fill(Number(delayMs)),
  onError(error) {
    console.error(String(error));
    process.exit(1);
  },
  onSuccess() {
    console.log(JSON.stringify({ url: upload.url }));
  },
});
upload.start();
