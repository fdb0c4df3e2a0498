# The demo's S3 client, on boto3 from PyPI. Everything it knows comes from the StorjBucket's Secret.
#   put KEY MIB SEED     makes a file of MIB MiB from SEED and uploads it
#   get KEY [MIB_S]      downloads it as a stream, at most MIB_S MiB a second where given
# Prints one line of JSON: {"sha256", "bytes", "seconds"}.
import hashlib, json, os, random, sys, time
import boto3
from boto3.s3.transfer import TransferConfig

MIB = 1 << 20
bucket = os.environ["BUCKET_NAME"]
s3 = boto3.client("s3")


def put(key, mib, seed):
    path = f"/work/{key}"
    digest, dice = hashlib.sha256(), random.Random(seed)
    with open(path, "wb") as file:
        for _ in range(int(mib)):
            block = dice.randbytes(MIB)
            digest.update(block)
            file.write(block)
    start = time.time()
    s3.upload_file(path, bucket, key, Config=TransferConfig(multipart_chunksize=64 * MIB, max_concurrency=4))
    seconds = time.time() - start
    size = os.path.getsize(path)
    os.remove(path)
    return digest.hexdigest(), size, seconds


def get(key, mib_s="0"):
    limit, digest, size, start = float(mib_s) * MIB, hashlib.sha256(), 0, time.time()
    for block in s3.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(MIB):
        digest.update(block)
        size += len(block)
        if limit:
            time.sleep(max(0.0, size / limit - (time.time() - start)))
    return digest.hexdigest(), size, time.time() - start


sha256, size, seconds = {"put": put, "get": get}[sys.argv[1]](*sys.argv[2:])
print(json.dumps({"sha256": sha256, "bytes": size, "seconds": round(seconds, 2)}))
