// The named checks of one program: each prints "ok NAME" or "not ok NAME: reason".
// GATEHOUSE_INTEROP_ONLY=REGEXP runs the checks of that name only, for work on one of them.

let failures = 0
const only = new RegExp(process.env.GATEHOUSE_INTEROP_ONLY ?? '')

export async function check(name, body) {
  if (!only.test(name)) return
  const began = performance.now()
  let line = `ok ${name}`
  try {
    await body()
  } catch (error) {
    failures++
    line = `not ok ${name}: ${reason(error)}`
    console.error(`${name}: ${error?.stack ?? error}`)
    if (error?.cause) console.error(`caused by: ${inspect(error.cause)}`)
  }
  console.log(line)
  if (process.env.GATEHOUSE_INTEROP_TIMES) console.error(`${name}: ${Math.round(performance.now() - began)} ms`)
}

export function finish() {
  process.exitCode = failures === 0 ? 0 : 1
}

function reason(error) {
  const text = [error?.message ?? String(error), error?.error, error?.error_description].filter(Boolean).join(' · ')
  return text.replaceAll(/\x1b\[\d*m/g, '').replaceAll(/\s+/g, ' ').slice(0, 600)
}

function inspect(cause) {
  if (cause instanceof Response) return `HTTP ${cause.status} from ${cause.url}`
  return cause?.stack ?? JSON.stringify(cause)
}

// expectRefusal runs what must fail and returns the error.
export async function expectRefusal(body, wanted) {
  try {
    await body()
  } catch (error) {
    for (const [member, value] of Object.entries(wanted)) {
      if (error[member] !== value) throw new Error(`refused with ${member} ${error[member]}, want ${value}`, { cause: error })
    }
    return error
  }
  throw new Error('was not refused')
}
