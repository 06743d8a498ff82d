/** What people choose, drop or paste, as sources of jobs: {file} or {url}. */

import {isMedia} from "./options.js";

/** Of a folder only what may be a picture or a video; of `other` files there are so many. */
export function ofFolder(files) {
  const sources = files.filter(isMedia).map(file => ({file}));
  return {sources, other: files.length - sources.length};
}

export const ofFiles = files => ({sources: [...files].map(file => ({file})), other: 0});

/** What was dropped: files as they are, folders with all that lies in them. */
export async function ofDrop(items) {
  const entries = [...items].map(item => item.webkitGetAsEntry()).filter(Boolean);  // they are gone after the first wait
  const single = [], within = [];
  for (const entry of entries) await read(entry, entry.isFile ? single : within);
  const found = ofFolder(within);
  return {...found, sources: [...ofFiles(single).sources, ...found.sources]};
}

async function read(entry, into) {
  if (entry.isFile) return into.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
  const reader = entry.createReader();
  for (;;) {  // a reader gives a hundred at a time
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const each of some) await read(each, into);
  }
}

/** Files, or a text that is nothing but an address. */
export function ofPaste(clipboard) {
  if (clipboard.files.length) return ofFiles(clipboard.files);
  const text = clipboard.getData("text").trim();
  return {sources: /^https?:\/\/\S+$/.test(text) ? [{url: text}] : [], other: 0};
}
