// Generated from the CRDs by crds/generate.ts; do not edit. `…Input` is what people write: defaults are optional.
/**
 * What the farm should be.
 */
export interface StorjFarmSpec {
/**
 * Image of farmers, bridge and repairer (restarts all of them, farmers slot by slot while the data is healthy). Without it a new farm takes the operator's default and keeps it; status.availableImage shows a newer one.
 */
image?: string
/**
 * When nodes pull the image (restarts all pods).
 */
imagePullPolicy?: ("Always" | "IfNotPresent" | "Never")
/**
 * Secrets in the farm's namespace for pulling the image (restarts all pods).
 */
imagePullSecrets?: {
/**
 * Name of the Secret.
 */
name: string
}[]
/**
 * The nodes that store.
 */
farmers: {
/**
 * Farmers of all zones together (live). More: new ones join and take new pieces. Fewer: the highest slots of the largest zone move their data away first, with proof; a higher number cancels that.
 */
replicas: number
/**
 * Failure domains; farmers are split evenly. Without it there is one, "main". Adding one moves nothing, removing one drains its farmers (live).
 */
zones?: {
/**
 * Part of the names of pods and volumes.
 */
name: string
/**
 * Labels of this zone's Kubernetes nodes, added to farmers.nodeSelector (restarts this zone's farmers).
 */
nodeSelector?: {
[k: string]: string
}
}[]
/**
 * The volume of each farmer.
 */
storage: {
/**
 * Size of each volume, e.g. 100Gi (live where the StorageClass allows growing). A lower size than a volume has does nothing and says so (SizeBelowActual).
 */
size: string
/**
 * StorageClass of new volumes; existing ones keep theirs (live). Without it the cluster's default.
 */
storageClassName?: string
/**
 * ReadWriteOncePod also keeps a second pod on the same Kubernetes node off the volume. Can't be changed.
 */
accessMode?: ("ReadWriteOnce" | "ReadWriteOncePod")
/**
 * What happens to the volume of a farmer that left with proof (live). Retain lets it come back later.
 */
whenScaledDown: ("Retain" | "Delete")
}
/**
 * CPU and memory of each pod (restarts them).
 */
resources?: {
/**
 * What is reserved.
 */
requests?: {
[k: string]: number | string
}
/**
 * What it may use at most.
 */
limits?: {
[k: string]: number | string
}
}
/**
 * Labels of Kubernetes nodes that may run farmers (restarts farmers).
 */
nodeSelector?: {
[k: string]: string
}
/**
 * Taints that farmers tolerate (restarts farmers).
 */
tolerations?: {
/**
 * Key of the taint.
 */
key?: string
/**
 * How the value is compared.
 */
operator?: ("Exists" | "Equal")
/**
 * Value of the taint.
 */
value?: string
/**
 * Effect of the taint.
 */
effect?: ("NoSchedule" | "PreferNoSchedule" | "NoExecute")
/**
 * For how long a NoExecute taint is tolerated.
 */
tolerationSeconds?: number
}[]
/**
 * Affinity of farmers, as in a pod (restarts farmers). Without it farmers prefer different Kubernetes nodes.
 */
affinity?: {
[k: string]: unknown
}
/**
 * How farmers are spread; the selector is added (restarts farmers).
 */
topologySpreadConstraints?: {
/**
 * Label of Kubernetes nodes that names the domain.
 */
topologyKey: string
/**
 * Largest allowed difference.
 */
maxSkew: number
/**
 * What happens to a pod that doesn't fit.
 */
whenUnsatisfiable: ("DoNotSchedule" | "ScheduleAnyway")
}[]
/**
 * PriorityClass of farmers (restarts farmers).
 */
priorityClassName?: string
}
/**
 * Storj's four numbers for new writes (live); old data keeps its own. Without it they follow the number of farmers: 6 farmers have 4/5/6/6. The farm promises that min(optimal − required, 4) farmers may vanish right after a write.
 */
redundancy?: {
/**
 * Pieces that are enough to read.
 */
required: number
/**
 * A segment with this many healthy pieces or fewer is repaired.
 */
repair: number
/**
 * Pieces that an upload waits for.
 */
optimal: number
/**
 * Pieces that are made.
 */
total: number
}
/**
 * The S3 endpoint.
 */
bridge: {
/**
 * 0 switches S3 off; the data stays readable without it (live).
 */
replicas: number
/**
 * The bridge's index, a view of the logs that can be rebuilt.
 */
catalog: {
/**
 * The volume of the catalog.
 */
storage: {
/**
 * Size of the volume (live where the StorageClass allows growing).
 */
size: string
/**
 * StorageClass of a new volume. Without it the one of the farmers.
 */
storageClassName?: string
}
}
/**
 * How S3 is reached (live).
 */
service: {
/**
 * Type of the Service. Outside of ClusterIP anybody who reaches the port may try his keys.
 */
type: ("ClusterIP" | "NodePort" | "LoadBalancer")
/**
 * Port on every Kubernetes node; without it one is chosen.
 */
nodePort?: number
}
/**
 * S3 over HTTPS (restarts the bridge). Without it S3 is plain HTTP behind the NetworkPolicy.
 */
tls?: {
/**
 * A Secret of type kubernetes.io/tls in this namespace with tls.crt and tls.key, and ca.crt where clients must be told the authority: it goes into the buckets' Secrets as CA_CRT. The certificate must name the address of the bridge's Service. A renewed one is taken up live.
 */
secretRef: {
/**
 * Name of the Secret.
 */
name: string
}
}
/**
 * CPU and memory of each pod (restarts them).
 */
resources?: {
/**
 * What is reserved.
 */
requests?: {
[k: string]: number | string
}
/**
 * What it may use at most.
 */
limits?: {
[k: string]: number | string
}
}
}
/**
 * The repairer.
 */
repair: {
/**
 * Repairers that share the work; the first of them reports to the operator. 0 switches repair off; then nothing shrinks or rolls either, because nobody proves anything (live).
 */
replicas: number
/**
 * After how long a silence a farmer counts as lost and its pieces are made anew, e.g. 4h, 90m (live).
 */
lostAfter: string
/**
 * Upper limit for repair traffic, of all repairers together; 0 = none (live).
 */
bandwidthBytesPerSecond: number
/**
 * CPU and memory of each pod (restarts them).
 */
resources?: {
/**
 * What is reserved.
 */
requests?: {
[k: string]: number | string
}
/**
 * What it may use at most.
 */
limits?: {
[k: string]: number | string
}
}
}
/**
 * Whose StorjBuckets may use this farm (live). A bucket that may not any more loses its keys, not its data.
 */
allowedBuckets: {
/**
 * Same = the farm's namespace, All = every namespace, Selector = namespaces with these labels.
 */
from: ("Same" | "All" | "Selector")
/**
 * Labels of the namespaces.
 */
selector?: {
[k: string]: string
}
}
/**
 * The operator changes nothing while this is true; the farm goes on (live).
 */
paused: boolean
/**
 * Retain: deleting the farm keeps volumes and key Secrets, and creating it again takes them back. Delete: they are deleted too, if the annotation storjfarm.io/confirm-delete holds the farm's name (live).
 */
deletionPolicy: ("Retain" | "Delete")
}

/**
 * What the farm should be.
 */
export interface StorjFarmSpecInput {
/**
 * Image of farmers, bridge and repairer (restarts all of them, farmers slot by slot while the data is healthy). Without it a new farm takes the operator's default and keeps it; status.availableImage shows a newer one.
 */
image?: string
/**
 * When nodes pull the image (restarts all pods).
 */
imagePullPolicy?: ("Always" | "IfNotPresent" | "Never")
/**
 * Secrets in the farm's namespace for pulling the image (restarts all pods).
 */
imagePullSecrets?: {
/**
 * Name of the Secret.
 */
name: string
}[]
/**
 * The nodes that store.
 */
farmers: {
/**
 * Farmers of all zones together (live). More: new ones join and take new pieces. Fewer: the highest slots of the largest zone move their data away first, with proof; a higher number cancels that.
 */
replicas: number
/**
 * Failure domains; farmers are split evenly. Without it there is one, "main". Adding one moves nothing, removing one drains its farmers (live).
 */
zones?: {
/**
 * Part of the names of pods and volumes.
 */
name: string
/**
 * Labels of this zone's Kubernetes nodes, added to farmers.nodeSelector (restarts this zone's farmers).
 */
nodeSelector?: {
[k: string]: string
}
}[]
/**
 * The volume of each farmer.
 */
storage: {
/**
 * Size of each volume, e.g. 100Gi (live where the StorageClass allows growing). A lower size than a volume has does nothing and says so (SizeBelowActual).
 */
size: string
/**
 * StorageClass of new volumes; existing ones keep theirs (live). Without it the cluster's default.
 */
storageClassName?: string
/**
 * ReadWriteOncePod also keeps a second pod on the same Kubernetes node off the volume. Can't be changed.
 */
accessMode?: ("ReadWriteOnce" | "ReadWriteOncePod")
/**
 * What happens to the volume of a farmer that left with proof (live). Retain lets it come back later.
 */
whenScaledDown?: ("Retain" | "Delete")
}
/**
 * CPU and memory of each pod (restarts them).
 */
resources?: {
/**
 * What is reserved.
 */
requests?: {
[k: string]: number | string
}
/**
 * What it may use at most.
 */
limits?: {
[k: string]: number | string
}
}
/**
 * Labels of Kubernetes nodes that may run farmers (restarts farmers).
 */
nodeSelector?: {
[k: string]: string
}
/**
 * Taints that farmers tolerate (restarts farmers).
 */
tolerations?: {
/**
 * Key of the taint.
 */
key?: string
/**
 * How the value is compared.
 */
operator?: ("Exists" | "Equal")
/**
 * Value of the taint.
 */
value?: string
/**
 * Effect of the taint.
 */
effect?: ("NoSchedule" | "PreferNoSchedule" | "NoExecute")
/**
 * For how long a NoExecute taint is tolerated.
 */
tolerationSeconds?: number
}[]
/**
 * Affinity of farmers, as in a pod (restarts farmers). Without it farmers prefer different Kubernetes nodes.
 */
affinity?: {
[k: string]: unknown
}
/**
 * How farmers are spread; the selector is added (restarts farmers).
 */
topologySpreadConstraints?: {
/**
 * Label of Kubernetes nodes that names the domain.
 */
topologyKey: string
/**
 * Largest allowed difference.
 */
maxSkew: number
/**
 * What happens to a pod that doesn't fit.
 */
whenUnsatisfiable: ("DoNotSchedule" | "ScheduleAnyway")
}[]
/**
 * PriorityClass of farmers (restarts farmers).
 */
priorityClassName?: string
}
/**
 * Storj's four numbers for new writes (live); old data keeps its own. Without it they follow the number of farmers: 6 farmers have 4/5/6/6. The farm promises that min(optimal − required, 4) farmers may vanish right after a write.
 */
redundancy?: {
/**
 * Pieces that are enough to read.
 */
required: number
/**
 * A segment with this many healthy pieces or fewer is repaired.
 */
repair: number
/**
 * Pieces that an upload waits for.
 */
optimal: number
/**
 * Pieces that are made.
 */
total: number
}
/**
 * The S3 endpoint.
 */
bridge?: {
/**
 * 0 switches S3 off; the data stays readable without it (live).
 */
replicas?: number
/**
 * The bridge's index, a view of the logs that can be rebuilt.
 */
catalog?: {
/**
 * The volume of the catalog.
 */
storage?: {
/**
 * Size of the volume (live where the StorageClass allows growing).
 */
size?: string
/**
 * StorageClass of a new volume. Without it the one of the farmers.
 */
storageClassName?: string
}
}
/**
 * How S3 is reached (live).
 */
service?: {
/**
 * Type of the Service. Outside of ClusterIP anybody who reaches the port may try his keys.
 */
type?: ("ClusterIP" | "NodePort" | "LoadBalancer")
/**
 * Port on every Kubernetes node; without it one is chosen.
 */
nodePort?: number
}
/**
 * S3 over HTTPS (restarts the bridge). Without it S3 is plain HTTP behind the NetworkPolicy.
 */
tls?: {
/**
 * A Secret of type kubernetes.io/tls in this namespace with tls.crt and tls.key, and ca.crt where clients must be told the authority: it goes into the buckets' Secrets as CA_CRT. The certificate must name the address of the bridge's Service. A renewed one is taken up live.
 */
secretRef: {
/**
 * Name of the Secret.
 */
name: string
}
}
/**
 * CPU and memory of each pod (restarts them).
 */
resources?: {
/**
 * What is reserved.
 */
requests?: {
[k: string]: number | string
}
/**
 * What it may use at most.
 */
limits?: {
[k: string]: number | string
}
}
}
/**
 * The repairer.
 */
repair?: {
/**
 * Repairers that share the work; the first of them reports to the operator. 0 switches repair off; then nothing shrinks or rolls either, because nobody proves anything (live).
 */
replicas?: number
/**
 * After how long a silence a farmer counts as lost and its pieces are made anew, e.g. 4h, 90m (live).
 */
lostAfter?: string
/**
 * Upper limit for repair traffic, of all repairers together; 0 = none (live).
 */
bandwidthBytesPerSecond?: number
/**
 * CPU and memory of each pod (restarts them).
 */
resources?: {
/**
 * What is reserved.
 */
requests?: {
[k: string]: number | string
}
/**
 * What it may use at most.
 */
limits?: {
[k: string]: number | string
}
}
}
/**
 * Whose StorjBuckets may use this farm (live). A bucket that may not any more loses its keys, not its data.
 */
allowedBuckets?: {
/**
 * Same = the farm's namespace, All = every namespace, Selector = namespaces with these labels.
 */
from?: ("Same" | "All" | "Selector")
/**
 * Labels of the namespaces.
 */
selector?: {
[k: string]: string
}
}
/**
 * The operator changes nothing while this is true; the farm goes on (live).
 */
paused?: boolean
/**
 * Retain: deleting the farm keeps volumes and key Secrets, and creating it again takes them back. Delete: they are deleted too, if the annotation storjfarm.io/confirm-delete holds the farm's name (live).
 */
deletionPolicy?: ("Retain" | "Delete")
}

/**
 * What the farm is.
 */
export interface StorjFarmStatus {
/**
 * Generation of the spec that this status speaks of.
 */
observedGeneration?: number
/**
 * Farmer pods.
 */
replicas?: number
/**
 * Label selector of farmer pods.
 */
selector?: string
/**
 * In force for new writes.
 */
redundancy?: {
/**
 * As in spec.
 */
required?: number
/**
 * As in spec.
 */
repair?: number
/**
 * As in spec.
 */
optimal?: number
/**
 * As in spec.
 */
total?: number
}
/**
 * Image of the farm.
 */
image?: string
/**
 * The operator's default image where it differs.
 */
availableImage?: string
/**
 * Farmers by zone.
 */
zones?: {
/**
 * The zone.
 */
name: string
/**
 * Slots.
 */
replicas?: number
/**
 * Ready pods.
 */
ready?: number
}[]
/**
 * Farmers that aren't Active, at most 50.
 */
farmers?: {
/**
 * Slot.
 */
name?: string
/**
 * Its zone.
 */
zone?: string
/**
 * libp2p peer id.
 */
peerId?: string
/**
 * Waiting, Offline, Leaving, Distrusted (failed its audits) or Lost.
 */
state?: string
/**
 * Bytes that still have no other holder; rounded.
 */
remainingBytes?: number
/**
 * Since when.
 */
since?: string
/**
 * What it waits for.
 */
reason?: string
}[]
/**
 * Health of what is stored, from the repairer's report.
 */
data?: {
/**
 * Healthy, Degraded, AtRisk, Unreadable or Unknown.
 */
state?: string
/**
 * Segments with no piece to spare.
 */
segmentsAtRisk?: number
/**
 * The least number of farmers that may still vanish.
 */
margin?: number
}
/**
 * Where clients go.
 */
endpoints?: {
/**
 * S3 in the cluster.
 */
s3?: string
}
/**
 * For people and printer columns.
 */
summary?: {
/**
 * Ready of wanted.
 */
farmers?: string
/**
 * Used of all.
 */
capacity?: string
}
/**
 * Ready, Reconciling and Stalled as kstatus reads them; others tell what is going on.
 */
conditions?: {
/**
 * What is said.
 */
type: string
/**
 * Whether it holds.
 */
status: ("True" | "False" | "Unknown")
/**
 * Generation of the spec that this speaks of.
 */
observedGeneration?: number
/**
 * When status changed last.
 */
lastTransitionTime: string
/**
 * Why, in one CamelCase word.
 */
reason: string
/**
 * Why, for people, with the remedy.
 */
message: string
}[]
}

/**
 * What the bucket should be.
 */
export interface StorjBucketSpec {
/**
 * The farm; its allowedBuckets decides. Can't be changed.
 */
farmRef: {
/**
 * Name of the StorjFarm.
 */
name: string
/**
 * Its namespace; without it the bucket's own.
 */
namespace?: string
}
/**
 * Name for S3 clients; without it the resource's name. One on the whole farm. Can't be changed.
 */
bucketName?: string
/**
 * Whose bucket it is, by the 24 words of the owner in a Secret; several buckets may name one. Without it a new owner is made and its words are put into the Secret NAME-owner. Can't be changed.
 */
owner?: {
/**
 * Secret in the bucket's namespace with the key "words".
 */
secretRef: {
/**
 * Name of the Secret.
 */
name: string
}
}
/**
 * Name of the Secret that is made for applications, with S3 keys under the names that SDKs and tools read, and STORJ_GRANT, which opens the bucket to the storj command straight at the farmers, holder's key included; without it NAME-s3 (live; the old Secret and its grant go).
 */
credentialsSecretName?: string
/**
 * Limits that the bridge enforces (live).
 */
quota?: {
/**
 * Bytes of all objects, e.g. 10Gi.
 */
maxBytes?: string
/**
 * Number of objects.
 */
maxObjects?: number
}
/**
 * Retain: deleting this resource ends its access keys and keeps the data. Delete: bucket and objects are deleted too, if the annotation storjfarm.io/confirm-delete holds the resource's name (live).
 */
deletionPolicy: ("Retain" | "Delete")
}

/**
 * What the bucket should be.
 */
export interface StorjBucketSpecInput {
/**
 * The farm; its allowedBuckets decides. Can't be changed.
 */
farmRef: {
/**
 * Name of the StorjFarm.
 */
name: string
/**
 * Its namespace; without it the bucket's own.
 */
namespace?: string
}
/**
 * Name for S3 clients; without it the resource's name. One on the whole farm. Can't be changed.
 */
bucketName?: string
/**
 * Whose bucket it is, by the 24 words of the owner in a Secret; several buckets may name one. Without it a new owner is made and its words are put into the Secret NAME-owner. Can't be changed.
 */
owner?: {
/**
 * Secret in the bucket's namespace with the key "words".
 */
secretRef: {
/**
 * Name of the Secret.
 */
name: string
}
}
/**
 * Name of the Secret that is made for applications, with S3 keys under the names that SDKs and tools read, and STORJ_GRANT, which opens the bucket to the storj command straight at the farmers, holder's key included; without it NAME-s3 (live; the old Secret and its grant go).
 */
credentialsSecretName?: string
/**
 * Limits that the bridge enforces (live).
 */
quota?: {
/**
 * Bytes of all objects, e.g. 10Gi.
 */
maxBytes?: string
/**
 * Number of objects.
 */
maxObjects?: number
}
/**
 * Retain: deleting this resource ends its access keys and keeps the data. Delete: bucket and objects are deleted too, if the annotation storjfarm.io/confirm-delete holds the resource's name (live).
 */
deletionPolicy?: ("Retain" | "Delete")
}

/**
 * What the bucket is.
 */
export interface StorjBucketStatus {
/**
 * Generation of the spec that this status speaks of.
 */
observedGeneration?: number
/**
 * Name for S3 clients.
 */
bucketName?: string
/**
 * Public key of the owner.
 */
ownerId?: string
/**
 * S3 in the cluster.
 */
endpoint?: string
/**
 * The Secret that was made.
 */
credentialsSecretName?: string
/**
 * Rounded to 1 % and written at most every 10 minutes; exact numbers are metrics.
 */
usage?: {
/**
 * Bytes of all objects.
 */
bytes?: number
/**
 * Number of objects.
 */
objects?: number
/**
 * For people.
 */
summary?: string
}
/**
 * Ready, Reconciling and Stalled as kstatus reads them; others tell what is going on.
 */
conditions?: {
/**
 * What is said.
 */
type: string
/**
 * Whether it holds.
 */
status: ("True" | "False" | "Unknown")
/**
 * Generation of the spec that this speaks of.
 */
observedGeneration?: number
/**
 * When status changed last.
 */
lastTransitionTime: string
/**
 * Why, in one CamelCase word.
 */
reason: string
/**
 * Why, for people, with the remedy.
 */
message: string
}[]
}

