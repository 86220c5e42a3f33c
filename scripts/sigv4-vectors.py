#!/usr/bin/env python3
"""Signatures as botocore (the AWS CLI's library) makes them, for the test in src/driver/amazonec2/sign.rs.

Run with a Python that has botocore, as that of moto's virtual environment; prints what the test expects.
"""

import datetime

import botocore
import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

FORM = "application/x-www-form-urlencoded; charset=utf-8"
ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLE+=="
TOKEN = "IQoJb3JpZ2luX2VjEO7//////////wEaCXVzLWVhc3QtMSJHMEUCIQD+canary/token=="
RUN = "Action=RunInstances&Version=2016-11-15&ClientToken=a~b-c_d.e&UserData=I2Nsb3Vk%2B%2F%3D%3D&Tag.1.Value=%C3%A4+b%2A"
ASSUME = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fdeploy"
# Name, method, URL, region, service, time, token, further headers, body.
CASES = [
    ("form", "POST", "https://ec2.eu-central-1.amazonaws.com/", "eu-central-1", "ec2", "20260228T235959Z", None, {"content-type": FORM}, RUN),
    ("token", "POST", "https://ec2.us-east-1.amazonaws.com/", "us-east-1", "ec2", "20281231T000000Z", TOKEN, {"content-type": FORM}, RUN),
    ("port", "POST", "http://127.0.0.1:4321/", "us-gov-west-1", "sts", "20280229T120000Z", TOKEN, {"content-type": FORM}, ASSUME),
    ("odd", "POST", "https://ec2.eu-central-1.amazonaws.com/", "eu-central-1", "ec2", "20260228T235959Z", None, {"content-type": FORM, "x-odd": "  a   \"b\"  c  "}, "ä\n\u2028\u0000 %~+*'"),
    ("empty", "GET", "https://sts.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&X=%2A~%20", "us-east-1", "sts", "20260101T000001Z", None, {}, ""),
]


def main():
    print("botocore", botocore.__version__)
    for name, method, url, region, service, time, token, headers, body in CASES:
        now = datetime.datetime.strptime(time, "%Y%m%dT%H%M%SZ")
        botocore.auth.get_current_datetime = lambda now=now: now
        request = AWSRequest(method=method, url=url, headers=dict(headers), data=body.encode())
        botocore.auth.SigV4Auth(Credentials(ID, SECRET, token), service, region).add_auth(request)
        print(f"{name}\t{request.headers['Authorization']}")


if __name__ == "__main__":
    main()
