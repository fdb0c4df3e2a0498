// The images of S3 clients and of Prometheus, under the names that the tests use.
export {
  awsSdkJsImage,
  prometheusImage,
  promtoolPath,
  rcloneImage,
  s3ClientImage as pythonS3Image,
} from '#infra/images/client-images.ts';
