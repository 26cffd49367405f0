// kafkajs goes through the course of ../go/course/course.go.
//
//     node kafkajs.mjs BOOTSTRAP PREFIX
//
// It compresses with gzip alone, unless codecs are added to it.
import { createRequire } from 'node:module'

// Where the package is: beside this file, or in the directory that the caller names.
const require = createRequire(process.env.CLIENTS_NODE ? `${process.env.CLIENTS_NODE}/` : import.meta.url)
const { Kafka, CompressionTypes, ConfigResourceTypes, logLevel } = require('kafkajs')

const [bootstrap, prefix] = process.argv.slice(2)
const kafka = new Kafka({ clientId: 'course', brokers: bootstrap.split(','), logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 50, retries: 10 } })
const admin = kafka.admin()
const late = 40_000

// ---- what is asked of it ------------------------------------------------------------------------

const fail = (text) => { throw new Error(text) }
const text = (value) => JSON.stringify(value)
const same = (what, wanted, got) => {
  if (text(wanted) !== text(got)) fail(`${what}: wanted ${text(wanted)}, got ${text(got)}`)
}
const sleep = (ms) => new Promise((done) => setTimeout(done, ms))
const eventually = async (what, wanted, get) => {
  for (const deadline = Date.now() + late; ;) {
    let got
    try { got = await get() } catch (error) { got = String(error) }
    if (text(got) === text(wanted)) return
    if (Date.now() > deadline) fail(`${what}: wanted ${text(wanted)}, got ${text(got)}`)
    await sleep(50)
  }
}
const record = (partition, offset, n) => ({ partition, offset, key: `key-${n}`, value: `value-${n}`, header: n })
const some = (partitions, count, first, what) => {
  const records = []
  for (let i = 0; i < count; i++)
    for (let p = 0; p < partitions; p++) records.push(record(p, first + i, `${what}-${p}-${i}`))
  return records
}
const ends = (partitions, at) => [...Array(partitions).keys()].map((partition) =>
  ({ partition, offset: at, key: 'end', value: 'end', header: 'end' }))
const sorted = (records) => [...records].sort((a, b) => a.partition - b.partition || a.offset - b.offset)
const ours = (partition, message) => ({ partition, offset: Number(message.offset), key: String(message.key),
  value: String(message.value), header: String(message.headers.n) })
const messages = (records) => records.map(({ partition, key, value, header }) =>
  ({ partition, key, value, headers: { n: header } }))

// Who holds which partition, and what was handled by whom.
class Ledger {
  held = new Map()
  seen = new Map()
  wrong = null
  assigned(name, partition) {
    const by = this.held.get(partition)
    if (by) this.wrong ??= `${name} got partition ${partition}, which ${by} holds`
    this.held.set(partition, name)
  }
  release(name) { for (const [p, by] of this.held) if (by === name) this.held.delete(p) }
  handled(name, r) {
    if (!this.seen.has(name)) this.seen.set(name, new Map())
    this.seen.get(name).set(`${r.partition}/${r.offset}`, r)
  }
  holds(name) { return [...this.held].filter(([, by]) => by === name).map(([p]) => p).sort() }
  records(...names) {
    const all = new Map()
    for (const name of names) for (const [key, r] of this.seen.get(name) ?? []) all.set(key, r)
    return sorted(all.values())
  }
}

// ---- the client ---------------------------------------------------------------------------------

const produce = async (topic, codec, records) => {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  await producer.send({ topic, acks: -1, messages: messages(records),
    compression: codec === 'gzip' ? CompressionTypes.GZIP : CompressionTypes.None })
  await producer.disconnect()
}

const read = async (topic, partitions, committed) => {
  const consumer = kafka.consumer({ groupId: `${topic}-reader-${committed}`, readUncommitted: !committed, maxWaitTimeInMs: 100 })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  const got = []
  await consumer.run({ eachMessage: async ({ partition, message }) => { got.push(ours(partition, message)) } })
  await eventually(`ends of ${topic}`, partitions, () => got.filter(({ value }) => value === 'end').length)
  await consumer.disconnect()
  return got
}

const join = async (group, topic, ledger, name) => {
  const consumer = kafka.consumer({ groupId: group, heartbeatInterval: 500, maxWaitTimeInMs: 100 })
  const { GROUP_JOIN, REBALANCING } = consumer.events
  consumer.on(GROUP_JOIN, ({ payload }) => {
    for (const p of payload.memberAssignment[topic] ?? []) ledger.assigned(name, p)
  })
  consumer.on(REBALANCING, () => ledger.release(name))
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({ autoCommit: false, eachMessage: async ({ partition, message }) => {
    ledger.handled(name, ours(partition, message))
    await consumer.commitOffsets([{ topic, partition, offset: String(Number(message.offset) + 1) }])
  } })
  return async () => {
    await consumer.stop()
    ledger.release(name)
    await consumer.disconnect()
  }
}

const transact = async (id, group, source, target, records, commit) => {
  const producer = kafka.producer({ transactionalId: id, idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  const transaction = await producer.transaction()
  await transaction.send({ topic: target, messages: messages(records) })
  await transaction.sendOffsets({ consumerGroupId: group,
    topics: [{ topic: source, partitions: [{ partition: 0, offset: '7' }] }] })
  await (commit ? transaction.commit() : transaction.abort())
  await producer.disconnect()
}

const create = (topic, numPartitions, replicationFactor, configEntries = []) =>
  admin.createTopics({ topics: [{ topic, numPartitions, replicationFactor, configEntries }] })
const describe = async (topic) => {
  const { topics: [{ partitions }] } = await admin.fetchTopicMetadata({ topics: [topic] })
  return [partitions.length, partitions[0].replicas.length]
}
const config = async (name, key) => {
  const { resources: [{ configEntries }] } = await admin.describeConfigs({ includeSynonyms: false,
    resources: [{ type: ConfigResourceTypes.TOPIC, name, configNames: [key] }] })
  return configEntries[0].configValue
}
const offsets = async (topic, partition) => {
  const { low, high } = (await admin.fetchTopicOffsets(topic)).find((o) => o.partition === partition)
  return [Number(low), Number(high)]
}
const committed = async (groupId, topic, partition) => {
  const [{ partitions }] = await admin.fetchOffsets({ groupId, topics: [topic] })
  return Number(partitions.find((p) => p.partition === partition).offset)
}
const describeGroup = async (group) => {
  const { groups: [{ state, members }] } = await admin.describeGroups([group])
  return [state, members.length]
}
const groups = async () => (await admin.listGroups()).groups.map(({ groupId }) => groupId)

// ---- the steps ----------------------------------------------------------------------------------

const created = async (topic, partitions) => {
  await create(topic, partitions, 3)
  await eventually(`partitions of ${topic}`, [partitions, 3], () => describe(topic))
}

const produceAndConsume = async (topic) => {
  await created(topic, 3)
  const first = some(3, 20, 0, 'none'), second = some(3, 20, 20, 'gzip')
  await produce(topic, 'none', first)
  await produce(topic, 'gzip', second)
  await produce(topic, 'none', ends(3, 40))
  for (let p = 0; p < 3; p++) same('offsets', [0, 41], await offsets(topic, p))
  console.log('produce none gzip')
  const got = await read(topic, 3, false)
  same('records', sorted([...first, ...second, ...ends(3, 40)]), sorted(got))
  console.log('consume', got.length)
}

const group = async (name) => {
  await created(name, 3)
  for (let turn = 0; turn < 2; turn++) {
    const wanted = some(3, 50, 50 * turn, `round${turn}`), ledger = new Ledger()
    await produce(name, 'none', wanted)
    const leave = await join(name, name, ledger, 'a')
    await eventually('150 records', true, () => ledger.records('a').length >= 150)
    await leave()
    same('records', sorted(wanted), ledger.records('a'))
    for (let p = 0; p < 3; p++) same('committed', 50 * (turn + 1), await committed(name, name, p))
  }
  console.log('group 300')
}

const rebalance = async (name) => {
  await created(name, 6)
  const ledger = new Ledger()
  const leaveA = await join(name, name, ledger, 'a')
  await eventually('a alone', [0, 1, 2, 3, 4, 5], () => ledger.holds('a'))
  const leaveB = await join(name, name, ledger, 'b')
  await eventually('three each', [3, 3], () => [ledger.holds('a').length, ledger.holds('b').length])
  const both = some(6, 10, 0, 'both'), alone = some(6, 10, 10, 'alone')
  await produce(name, 'none', both)
  await eventually('60 records', true, () => ledger.records('a', 'b').length >= 60)
  same('records', sorted(both), ledger.records('a', 'b'))
  same('records of a and of b', [30, 30], [ledger.records('a').length, ledger.records('b').length])
  same('partitions held twice', null, ledger.wrong)

  await leaveA()
  await eventually('b alone', [0, 1, 2, 3, 4, 5], () => ledger.holds('b'))
  await produce(name, 'none', alone)
  await eventually('120 records', true, () => ledger.records('a', 'b').length >= 120)
  same('the group', ['Stable', 1], await describeGroup(name))
  await leaveB()
  same('records', sorted([...both, ...alone]), ledger.records('a', 'b'))
  same('partitions held twice', null, ledger.wrong)
  console.log('rebalance 120')
}

const transaction = async (name) => {
  const source = `${name}-in`
  await created(source, 1)
  await produce(source, 'none', some(1, 7, 0, 'in'))
  await created(name, 2)
  const aborted = some(2, 5, 0, 'aborted'), kept = some(2, 5, 6, 'committed')
  await transact(name, name, source, name, aborted, false)
  same('committed by an aborted transaction', -1, await committed(name, source, 0))
  await transact(name, name, source, name, kept, true)
  await produce(name, 'none', ends(2, 12)) // markers are at 5 and 11
  await eventually('committed by a transaction', 7, () => committed(name, source, 0))
  same('read committed', sorted([...kept, ...ends(2, 12)]), sorted(await read(name, 2, true)))
  same('read uncommitted', sorted([...aborted, ...kept, ...ends(2, 12)]), sorted(await read(name, 2, false)))
  console.log('transaction 10 of 20')
}

const administer = async (topic) => {
  await create(topic, 4, 3, [{ name: 'retention.ms', value: '600000' }])
  await eventually('partitions and replicas', [4, 3], () => describe(topic))
  await eventually('listed', true, async () => (await admin.listTopics()).includes(topic))
  await eventually('config', '600000', () => config(topic, 'retention.ms'))
  await admin.alterConfigs({ validateOnly: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic,
    configEntries: [{ name: 'retention.ms', value: '700000' }] }] })
  await eventually('config', '700000', () => config(topic, 'retention.ms'))
  await admin.createPartitions({ topicPartitions: [{ topic, count: 6 }] })
  await eventually('partitions', [6, 3], () => describe(topic))

  await produce(topic, 'none', some(1, 10, 0, 'admin'))
  same('offsets', [0, 10], await offsets(topic, 0))
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '4' }] })
  await eventually('offsets', [4, 10], () => offsets(topic, 0))

  const ledger = new Ledger(), leave = await join(topic, topic, ledger, 'a')
  await eventually('6 records', 6, () => ledger.records('a').length)
  await leave()
  same('groups', true, (await groups()).includes(topic))
  await eventually('the group', ['Empty', 0], () => describeGroup(topic))
  same('committed', 10, await committed(topic, topic, 0))
  await admin.setOffsets({ groupId: topic, topic, partitions: [{ partition: 0, offset: '5' }] })
  same('committed', 5, await committed(topic, topic, 0))
  await admin.deleteGroups([topic])
  await eventually('groups', false, async () => (await groups()).includes(topic))
  await admin.deleteTopics({ topics: [topic] })
  await eventually('listed', false, async () => (await admin.listTopics()).includes(topic))
  console.log('admin topics configs partitions records groups offsets deleted')
}

try {
  await admin.connect()
  await produceAndConsume(`${prefix}-records`)
  await group(`${prefix}-group`)
  await rebalance(`${prefix}-rebalance`)
  await transaction(`${prefix}-transaction`)
  await administer(`${prefix}-admin`)
  await admin.disconnect()
} catch (error) {
  console.log('FAILED', error.stack)
  process.exit(1)
}
