# What the Moon test does by S3, in a pod with boto3, from the environment of the bucket's Secret alone.
#   fill COUNT          COUNT objects, every fourth in a second version, every seventh deleted again
#   check COUNT ROUNDS  all that is expected after so many rounds on the Moon, byte for byte; prints a summary
# What an object holds follows from its name and version; moon.mjs makes the same on the other side.
import concurrent.futures, hashlib, json, os, sys
import boto3
from botocore.config import Config

BUCKET = os.environ['BUCKET_NAME']
client = boto3.client('s3', config=Config(max_pool_connections=48, retries={'max_attempts': 8, 'mode': 'standard'}))


def size_of(number):
    if number % 1000 == 1: return 2_000_000 + number
    if number % 100 == 2: return 150_000 + number
    return (number * 37) % 4096


def content(name, number, version):
    block = hashlib.sha256(f'{name} {number} {version}'.encode()).digest()
    size = size_of(number)
    return (block * (size // 32 + 1))[:size]


def key_of(name, number):
    return f'{name}/{number % 10}/{number}'


def each(work, numbers):
    with concurrent.futures.ThreadPoolExecutor(48) as pool:
        for done in concurrent.futures.as_completed([pool.submit(work, number) for number in numbers]): done.result()


def put(number, version):
    client.put_object(Bucket=BUCKET, Key=key_of('earth', number), Body=content('earth', number, version))


# The same rules as in moon.mjs.
def expected(count, rounds):
    found = {}
    for number in range(count):
        if number % 7 != 3: found[key_of('earth', number)] = ('earth', number, 2 if number % 4 == 0 else 1)
    for moon in range(rounds):
        for number in range(200): found[key_of(f'moon-{moon}', number)] = (f'moon-{moon}', number, 1)
        for number in range(moon * 50, moon * 50 + 50): found.pop(key_of('earth', number), None)
    return found


def fill(count):
    each(lambda number: put(number, 1), range(count))
    each(lambda number: put(number, 2), range(0, count, 4))
    each(lambda number: client.delete_object(Bucket=BUCKET, Key=key_of('earth', number)), range(3, count, 7))
    return {'objects': len(expected(count, 0))}


def check(count, rounds):
    wanted = expected(count, rounds)
    listed = [entry['Key'] for page in client.get_paginator('list_objects_v2').paginate(Bucket=BUCKET) for entry in page.get('Contents', [])]
    wrong = []
    def compare(key):
        if client.get_object(Bucket=BUCKET, Key=key)['Body'].read() != content(*wanted[key]): wrong.append(key)
    each(compare, sorted(wanted))
    return {
        'objects': len(listed),
        'missing': sorted(set(wanted) - set(listed))[:5],
        'undead': sorted(set(listed) - set(wanted))[:5],
        'wrong': wrong[:5],
    }


print(json.dumps(fill(int(sys.argv[2])) if sys.argv[1] == 'fill' else check(int(sys.argv[2]), int(sys.argv[3]))))
