/**
 * The demo's own long prompt, for models that know words and for those that know only bytes. Lists
 * of coprime lengths make notes that do not repeat.
 */
const times = [
  'Before sunrise',
  'At noon',
  'In the late afternoon',
  'After the first rain',
  'On a clear night',
  'During the long drought',
  'In the second week of spring',
];
const animals = [
  'the old female from the creek',
  'a young male with a torn ear',
  'the pair under the snow gums',
  'the mother and her joey',
  'the one we call Biscuit',
];
const deeds = [
  'dug a new burrow with two entrances',
  'walked three kilometres to the lower meadow',
  'grazed on kangaroo grass for an hour',
  'slept in the shade of a fallen log',
  'drove a fox away from the den',
  'crossed the road by the stone bridge',
  'left cube-shaped droppings on every flat rock',
  'scratched against the fence post until it leaned',
  'shared a tunnel with a wallaby',
  'came back to the burrow that was flooded last year',
  'sat in the entrance and watched us',
];
const remarks = [
  'It took no notice of the rangers.',
  'The temperature in the tunnel stayed at fourteen degrees.',
  'We counted the minutes and wrote them down.',
  'Nobody had seen this on the eastern slope before.',
];

/** Notes of about 190 characters each. */
export function demoNotes(count: number): string {
  const notes = Array.from({ length: count }, (_, index) => {
    const pick = (list: readonly string[]): string => list[index % list.length];
    const minutes = 3 + ((index * 37) % 55);
    const what = `${pick(times)} ${pick(animals)} ${pick(deeds)}.`;
    return `Note ${index + 1}. ${what} ${pick(remarks)} This lasted ${minutes} minutes.`;
  });
  return `Field notes on the wombats of the high valley.\n\n${notes.join('\n')}\n\n`;
}

/** The end of the demo's prompt. */
export const firstQuestion =
  'Question: according to the notes above, what do the wombats of the high valley do at night, and ' +
  'which of them was seen most often near the creek? Give the numbers of the notes.\nAnswer:';

/** Another end of the same prompt. */
export const otherQuestion =
  'Task: write the beginning of a short report for the park office. Say how long the animals were ' +
  'watched in all, where a new fence is needed, and what should be looked at next spring.\nReport:';
